"""The settings: what can be configured, with units, ranges and defaults.

Attribute names end in their unit (`findtime_s`); the YAML keys are fail2ban's words where fail2ban has one.
To add a setting, add a field here: reading, merging, messages, reference and JSON Schema follow from it.
"""

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import GROUP, OPTIONAL_PATH, SOCKET_PATH, duration, integer, path, size, text
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
from monitor.settings.logs import DEFAULT_FAILURES, DETECTOR_NAMES, Failures, Journal, LogFiles

LogPrefix = Annotated[str, text(longest=127)]
"""Text of a log prefix: the kernel's NF_LOG_PREFIXLEN is 128 with the closing NUL, so longer text never occurs."""


class Level(enum.StrEnum):
    """The lowest severity that the daemon logs."""

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
        Endpoint, Meta(description="Address and port of the endpoint; `0.0.0.0` and `[::]` mean all addresses.")
    ] = Endpoint("127.0.0.1", 9843)


class Control(Section, frozen=True, kw_only=True):
    """The control socket of the command line."""

    socket: Annotated[Path, SOCKET_PATH, Meta(description="Path of the Unix socket for the command line.")] = Path(
        "/run/nodewarden/control.sock"
    )
    group: Annotated[
        str, GROUP, Meta(description="Group whose members may use the socket, and thus ban and unban.")
    ] = "nodewarden"


class State(Section, frozen=True, kw_only=True):
    """State that is kept across restarts."""

    directory: Annotated[
        Path, path(), Meta(description="Directory of the database with bans, history and cursors.")
    ] = Path("/var/lib/nodewarden")


class Log(Section, frozen=True, kw_only=True):
    """The log of the daemon."""

    level: Annotated[Level, Meta(description="Lowest severity that is logged.")] = Level.INFO


class Settings(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    sources: Annotated[Sources, Meta(description="Sources of evidence.")] = Sources()
    detectors: Annotated[
        Detectors, Meta(description="Detectors, configured in fail2ban's terms: `findtime`, `maxretry`, `bantime`.")
    ] = Detectors()
    bans: Annotated[Bans, Meta(description="From alerts to bans.")] = Bans()
    metrics: Annotated[Metrics, Meta(description="The endpoint for Prometheus.")] = Metrics()
    control: Annotated[Control, Meta(description="The control socket of the command line.")] = Control()
    state: Annotated[State, Meta(description="State that is kept across restarts.")] = State()
    log: Annotated[Log, Meta(description="The log of the daemon.")] = Log()
