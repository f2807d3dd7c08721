"""The settings of detectors that watch connections, and what the kernel drops."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import PORT, duration, integer, number, size
from monitor.config.shapes import Conflict, Section
from monitor.config.types import PortRange
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Mode
from monitor.settings.detector import Detector, reachable

_ENTRIES = integer(1024, 1_048_576)
_PRIVATE = tuple(map(parse_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
_FINDTIME = duration("1s", "1h")
_OBSERVE = "`enforce` bans, `observe` only records what would have been banned: anybody can send such packets."


class HalfOpen(Detector, frozen=True, kw_only=True):
    """Connections that are begun and never completed."""

    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back a source's attempts are counted.")] = field(
        default=10.0, name="findtime"
    )
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 1_000_000),
        Meta(description="How many half-open connections of one source within `findtime` are too many."),
    ] = 200
    total: Annotated[
        int,
        integer(100, 10_000_000),
        Meta(
            description="So many attempts within two seconds that are not completed, if they are the greater part, "
            "are a flood. That is told; with forged sources there is nobody to ban."
        ),
    ] = 5000
    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many sources are remembered at most: the bound on memory.")
    ] = 32_768


class ConnectionRate(Detector, frozen=True, kw_only=True):
    """One source opens too many connections."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans, `observe` only records what would have been banned: proxies, load balancers "
            "and networks behind one address open many connections. Allow yours before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back connections are counted.")] = field(
        default=30.0, name="findtime"
    )
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 10_000_000),
        Meta(description="How many complete connections of one source within `findtime` are too many."),
    ] = 30_000
    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many sources are remembered at most: the bound on memory.")
    ] = 32_768


class OpenConnections(Detector, frozen=True, kw_only=True):
    """One source holds too many connections open."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans, `observe` only records what would have been banned: proxies, load balancers "
            "and networks behind one address hold many connections. Allow yours before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[
        float, _FINDTIME, Meta(description="How long until a source that goes on is told of again.")
    ] = field(default=60.0, name="findtime")
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    maxretry: Annotated[
        int,
        integer(10, 1_000_000),
        Meta(description="How many connections of one source may be open at a time, less one."),
    ] = 750
    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many open connections are followed at most: the bound on memory.")
    ] = 65_536

    def conflicts(self) -> Iterable[Conflict]:
        """Return a fault where the threshold lies above the bound on memory."""
        return reachable(self.maxretry, self.max_entries)


class PacketRate(Detector, frozen=True, kw_only=True):
    """Too many packets of one source."""

    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many sources are remembered at most: the bound on memory.")
    ] = 16_384
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )


class SynRate(PacketRate, frozen=True, kw_only=True):
    """One source begins too many TCP connections."""

    mode: Annotated[Mode, Meta(description=_OBSERVE)] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back packets are counted.")] = field(
        default=10.0, name="findtime"
    )
    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(description="How many first packets of connections (SYN) of one source within `findtime` are too many."),
    ] = 5000


class UdpRate(PacketRate, frozen=True, kw_only=True):
    """One source sends too many UDP packets."""

    mode: Annotated[Mode, Meta(description=_OBSERVE)] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back packets are counted.")] = field(
        default=10.0, name="findtime"
    )
    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(description="How many UDP packets of one source within `findtime` are too many."),
    ] = 200_000


class DropRate(PacketRate, frozen=True, kw_only=True):
    """The kernel drops too many packets of one source."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans, `observe` only records what would have been banned: late packets of closed "
            "connections drop, too, and busy clients send many."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back drops are counted.")] = field(
        default=60.0, name="findtime"
    )
    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(
            description="How many packets of one source within `findtime`, dropped by a firewall, at a closed port, as "
            "malformed or over a limit, are too many. What drops for want of memory does not count."
        ),
    ] = 3000


class ProtectedService(Section, frozen=True, kw_only=True):
    """One service that not everybody may use."""

    ports: Annotated[tuple[PortRange, ...], Meta(description="Its TCP ports, before or behind destination NAT.")]
    networks: Annotated[
        tuple[Network, ...],
        Meta(description="Who may connect, beside all that is on the allowlist; an empty list: nobody else."),
    ] = _PRIVATE


_SERVICES = {
    "etcd": ProtectedService(ports=(PortRange(2379, 2380),)),
    "kube-apiserver": ProtectedService(ports=(PortRange(6443, 6443),)),
    "kubelet": ProtectedService(ports=(PortRange(10250, 10250),)),
}


class ProtectedPort(Detector, frozen=True, kw_only=True):
    """Somebody from outside uses a service that is for inside."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans, `observe` only records what would have been banned: one connection is enough, "
            "so name everybody who may connect before you enforce."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="Only told with the alert: one connection is enough.")] = (
        field(default=60.0, name="findtime")
    )
    services: Annotated[
        dict[str, ProtectedService],
        Meta(description="The services by name. Those of Kubernetes are there already, for private networks."),
    ] = field(default_factory=_SERVICES.copy)


class Egress(Detector, frozen=True, kw_only=True):
    """Flows out to where nobody approved."""

    mode: Annotated[
        Mode,
        Meta(description="`enforce` refuses new connections to the destination, `observe` only records them."),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How long until a destination is told of again.")] = field(
        default=600.0, name="findtime"
    )
    approved: Annotated[
        tuple[Network, ...],
        Meta(
            description="Where the node and its pods may open connections to, beside all that is on the allowlist. "
            "An empty list: everywhere, nothing is watched."
        ),
    ] = ()
    sources: Annotated[
        tuple[Network, ...],
        Meta(
            description="Whose flows are watched, beside the node's own and those of the cluster's pod networks: "
            "networks that this node routes for."
        ),
    ] = ()
    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many destinations are remembered at most: the bound on memory.")
    ] = 8192


class UdpAmplification(Detector, frozen=True, kw_only=True):
    """The node's answers are used to flood somebody."""

    mode: Annotated[
        Mode, Meta(description="`enforce` refuses further requests in the victim's name, `observe` only records them.")
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, _FINDTIME, Meta(description="How far back answers are counted.")] = field(
        default=60.0, name="findtime"
    )
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    ports: Annotated[
        tuple[Annotated[int, PORT], ...],
        Meta(description="UDP ports of services that amplify: DNS, NTP, CLDAP, SSDP, memcached."),
    ] = (53, 123, 389, 1900, 11211)
    ratio: Annotated[
        float,
        number(1, 100_000),
        Meta(description="Only flows that were answered with so many times their own bytes count."),
    ] = 8.0
    answered_bytes: Annotated[
        int,
        size("1KB", "1TB"),
        Meta(description="So many bytes of such answers to one address within `findtime` are too many."),
    ] = field(default=5_000_000, name="answered")
    max_entries: Annotated[
        int, _ENTRIES, Meta(description="How many addresses are remembered at most: the bound on memory.")
    ] = 32_768
