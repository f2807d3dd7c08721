"""The settings: what can be configured, with units, ranges and defaults.

Attribute names end in their unit (`findtime_s`); the YAML keys are fail2ban's words where fail2ban has one.
To add a setting, add a field to its section: reading, merging, messages, reference and JSON Schema follow from it.
The sections of detectors are in their own modules (`monitor.detectors`).
"""

import enum
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import GROUP, SOCKET_PATH, path, size, text
from monitor.config.shapes import Section
from monitor.config.types import Endpoint
from monitor.settings.bans import Bans
from monitor.settings.detectors import Detectors
from monitor.settings.logs import Journal, LogFiles

LogPrefix = Annotated[str, text(longest=127)]
"""Text of a log prefix: the kernel's NF_LOG_PREFIXLEN is 128 with the closing NUL, so longer text never occurs."""


class Level(enum.StrEnum):
    """The least severity that the daemon logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class KernelLog(Section, frozen=True, kw_only=True):
    """Packets that firewall rules write to the kernel log."""

    enabled: Annotated[bool, Meta(description="Read packets that firewall rules write to the kernel log.")] = True
    prefixes: Annotated[
        tuple[LogPrefix, ...],
        Meta(
            description="Only lines whose log prefix starts with one of these count; an empty list means any. "
            "Naming your firewall's own prefixes is safer: other kernel messages can hold text that local users choose."
        ),
    ] = ()
    ignore_prefixes: Annotated[
        tuple[LogPrefix, ...],
        Meta(
            description="Lines whose log prefix contains one of these, in any case, are not offences: "
            "the firewall let the packet pass."
        ),
    ] = ("ALLOW", "ACCEPT", "AUDIT")


class Conntrack(Section, frozen=True, kw_only=True):
    """Connections as the kernel tracks them."""

    enabled: Annotated[
        bool,
        Meta(
            description="Follow connections as they open, complete a handshake and close: scans are seen that no "
            "firewall rule logs. Where the kernel cannot tell, all else goes on."
        ),
    ] = True
    buffer_bytes: Annotated[
        int,
        size("64KiB", "256MiB"),
        Meta(description="How much may wait to be read before events are lost: 8 MiB carry 50,000 connections/s."),
    ] = field(default=8 << 20, name="buffer")
    all_namespaces: Annotated[
        bool,
        Meta(
            description="Hear network namespaces too that this one has a number for (`ip netns set`): pods' own tables."
        ),
    ] = False


class Drops(Section, frozen=True, kw_only=True):
    """Packets that the kernel drops, and why."""

    enabled: Annotated[
        bool,
        Meta(
            description="Count by eBPF which packets the kernel drops, whose, and for what reason. Where bcc or the "
            "kernel lack something, all else goes on."
        ),
    ] = True
    all_namespaces: Annotated[
        bool,
        Meta(
            description="Sources whose packets drop in other network namespaces, such as pods', count for `drop_rate` "
            "too; metrics tell those drops apart in any case."
        ),
    ] = False


class Sources(Section, frozen=True, kw_only=True):
    """What the daemon reads."""

    kernel_log: Annotated[KernelLog, Meta(description="Packets that firewall rules write to the kernel log.")] = (
        KernelLog()
    )
    conntrack: Annotated[Conntrack, Meta(description="Connections as the kernel tracks them.")] = Conntrack()
    drops: Annotated[Drops, Meta(description="Packets that the kernel drops, and why.")] = Drops()
    journal: Annotated[Journal, Meta(description="What applications write to the systemd journal.")] = Journal()
    files: Annotated[LogFiles, Meta(description="What applications write to log files.")] = LogFiles()


class Metrics(Section, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    enabled: Annotated[bool, Meta(description="Serve metrics for Prometheus at `/metrics`.")] = True
    listen: Annotated[
        Endpoint, Meta(description="The address and port that serve them; `0.0.0.0` and `[::]` mean all addresses.")
    ] = Endpoint("127.0.0.1", 9843)


class Control(Section, frozen=True, kw_only=True):
    """The socket that the command line talks to."""

    socket: Annotated[Path, SOCKET_PATH, Meta(description="The Unix socket that the command line talks to.")] = Path(
        "/run/nodewarden/control.sock"
    )
    group: Annotated[
        str, GROUP, Meta(description="The group whose members may use the socket, and so may ban and unban.")
    ] = "nodewarden"


class State(Section, frozen=True, kw_only=True):
    """What outlives a restart."""

    directory: Annotated[Path, path(), Meta(description="The directory for what outlives a restart.")] = Path(
        "/var/lib/nodewarden"
    )


class Log(Section, frozen=True, kw_only=True):
    """The daemon's own log."""

    level: Annotated[Level, Meta(description="The least severity that is logged.")] = Level.INFO


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    sources: Annotated[Sources, Meta(description="What the daemon reads.")] = Sources()
    detectors: Annotated[
        Detectors, Meta(description="Rules over events, in fail2ban's words: `findtime`, `maxretry`, `bantime`.")
    ] = Detectors()
    bans: Annotated[Bans, Meta(description="What becomes of alerts.")] = Bans()
    metrics: Annotated[Metrics, Meta(description="The endpoint for Prometheus.")] = Metrics()
    control: Annotated[Control, Meta(description="The socket that the command line talks to.")] = Control()
    state: Annotated[State, Meta(description="What outlives a restart of the daemon.")] = State()
    log: Annotated[Log, Meta(description="The daemon's own log.")] = Log()
