"""The settings: what can be configured, with units, ranges and defaults.

Attribute names end in their unit (`findtime_s`); the YAML keys are fail2ban's words where fail2ban has one.
To add a setting, add a field here: reading, merging, messages, reference and JSON Schema follow from it.
"""

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import GROUP, OPTIONAL_PATH, SOCKET_PATH, duration, integer, path
from monitor.config.shapes import Conflict, Section
from monitor.config.types import Endpoint, PortRange
from monitor.settings.bans import Bans
from monitor.settings.detector import Detector, reachable
from monitor.settings.flows import (
    ConnectionRate,
    DropRate,
    Egress,
    HalfOpen,
    OpenConnections,
    ProtectedPort,
    SynRate,
    UdpAmplification,
    UdpRate,
)
from monitor.settings.logs import DEFAULT_FAILURES, DETECTOR_NAMES, Failures
from monitor.sources.conntrack.settings import ConntrackSettings
from monitor.sources.drops.settings import DropsSettings
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.kmsg.settings import KernelLogSettings
from monitor.sources.tail.settings import FilesSettings


class Level(enum.StrEnum):
    """The least severity that the daemon logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class SourcesSettings(Section, frozen=True, kw_only=True):
    """What the daemon reads: a key for each source, whose section is in the source's folder."""

    kernel_log: Annotated[
        KernelLogSettings, Meta(description="Packets that firewall rules write to the kernel log.")
    ] = KernelLogSettings()
    conntrack: Annotated[ConntrackSettings, Meta(description="Connections that the kernel tracks.")] = (
        ConntrackSettings()
    )
    drops: Annotated[DropsSettings, Meta(description="Packets that the kernel drops, and why.")] = DropsSettings()
    journal: Annotated[JournalSettings, Meta(description="Application logs in the systemd journal.")] = (
        JournalSettings()
    )
    files: Annotated[FilesSettings, Meta(description="Application logs in files.")] = FilesSettings()


class PortScan(Detector, frozen=True, kw_only=True):
    """One source tries many ports."""

    maxretry: Annotated[
        int,
        integer(2, 10_000),
        Meta(description="How many distinct destination ports of one source within `findtime` make a scan."),
    ] = 15
    max_entries: Annotated[
        int,
        integer(1024, 1_048_576),
        Meta(description="How many pairs of source and port are remembered at most: the bound on memory."),
    ] = 32_768

    def conflicts(self) -> Iterable[Conflict]:
        """Return a fault where the threshold lies above the bound on memory."""
        return reachable(self.maxretry, self.max_entries)


class HostSweep(Detector, frozen=True, kw_only=True):
    """One source tries one port on many addresses."""

    maxretry: Annotated[
        int,
        integer(2, 10_000),
        Meta(
            description="How many distinct destination addresses on one port, by one source within `findtime`, "
            "make a sweep."
        ),
    ] = 10
    max_entries: Annotated[
        int,
        integer(1024, 1_048_576),
        Meta(
            description="How many triples of source, port and destination are remembered at most: the bound on memory."
        ),
    ] = 32_768

    def conflicts(self) -> Iterable[Conflict]:
        """Return a fault where the threshold lies above the bound on memory."""
        return reachable(self.maxretry, self.max_entries)


class Detectors(Section, frozen=True, kw_only=True):
    """Rules over events."""

    ephemeral_ports: Annotated[
        PortRange,
        Meta(
            description="The ports that the node's own clients use, as in `/proc/sys/net/ipv4/ip_local_port_range`: "
            "UDP packets to these are taken for late replies and never counted."
        ),
    ] = PortRange(32_768, 60_999)
    port_scan: Annotated[PortScan, Meta(description="One source tries many ports of the node.")] = PortScan()
    host_sweep: Annotated[HostSweep, Meta(description="One source tries one port on many addresses.")] = HostSweep()
    half_open: Annotated[HalfOpen, Meta(description="Connections are begun and never completed: a SYN flood.")] = (
        HalfOpen()
    )
    connection_rate: Annotated[
        ConnectionRate, Meta(description="One source completes too many connections in a short time.")
    ] = ConnectionRate()
    open_connections: Annotated[
        OpenConnections, Meta(description="One source holds too many connections at a time.")
    ] = OpenConnections()
    protected_port: Annotated[
        ProtectedPort, Meta(description="Somebody from outside completes a connection to a service that is for inside.")
    ] = ProtectedPort()
    egress: Annotated[
        Egress, Meta(description="The node, or a pod behind it, opens a flow to where nobody approved.")
    ] = Egress()
    udp_amplification: Annotated[
        UdpAmplification,
        Meta(
            description="Small UDP requests are answered at length: forged ones, whose answers hit somebody else. "
            "Needs `net.netfilter.nf_conntrack_acct=1`."
        ),
    ] = UdpAmplification()
    drop_rate: Annotated[DropRate, Meta(description="The kernel drops too many packets of one source.")] = DropRate()
    syn_rate: Annotated[
        SynRate, Meta(description="One source begins too many connections, as XDP sees them (`bans.xdp.interfaces`).")
    ] = SynRate()
    udp_rate: Annotated[
        UdpRate, Meta(description="One source sends too many UDP packets, as XDP sees them (`bans.xdp.interfaces`).")
    ] = UdpRate()
    failures: Annotated[
        dict[str, Failures],
        DETECTOR_NAMES,
        Meta(
            description="One source fails too often in one application, as its log says: fail2ban's jails. Each has a "
            "name of its own; `sshd` is there already."
        ),
    ] = field(default_factory=DEFAULT_FAILURES.copy)
    from_fail2ban: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="A directory such as `/etc/fail2ban`: every jail that is enabled there runs as a failures "
            "detector of the jail's name, and what jails ignore is never banned. A section of `failures` wins over a "
            "jail of its name, unless it is only the default one. Empty: none."
        ),
    ] = ""
    confirm_timeout_s: Annotated[
        float,
        duration("10ms", "10s"),
        Meta(description="How long one expression of a filter may take on one line, before it is given up."),
    ] = field(default=0.1, name="confirm_timeout")


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

    sources: Annotated[SourcesSettings, Meta(description="What the daemon reads.")] = SourcesSettings()
    detectors: Annotated[
        Detectors, Meta(description="Rules over events, in fail2ban's words: `findtime`, `maxretry`, `bantime`.")
    ] = Detectors()
    bans: Annotated[Bans, Meta(description="What becomes of alerts.")] = Bans()
    metrics: Annotated[Metrics, Meta(description="The endpoint for Prometheus.")] = Metrics()
    control: Annotated[Control, Meta(description="The socket that the command line talks to.")] = Control()
    state: Annotated[State, Meta(description="What outlives a restart of the daemon.")] = State()
    log: Annotated[Log, Meta(description="The daemon's own log.")] = Log()
