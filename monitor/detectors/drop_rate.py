"""Drop rate: the kernel drops too many packets of one source."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.config.shapes import MERGED
from monitor.detectors.limits import Limits
from monitor.detectors.packet_rate import PacketRateDetector, PacketRateSettings
from monitor.detectors.registration import Registration
from monitor.detectors.settings import RECENT
from monitor.model.addresses import Network, format_address
from monitor.model.bans import Mode
from monitor.model.events import DROP_CLASSES, DropsObserved
from monitor.model.networks import Networks

_CLOSED_PORT = DROP_CLASSES.index("closed_port")
_FEW_PORTS = 8
_SHARE_AT_FEW_PORTS = 10
_OFFENCES = tuple(number for number, name in enumerate(DROP_CLASSES) if name not in ("no_memory", "other"))


class DropRateSettings(PacketRateSettings, frozen=True, kw_only=True):
    """The kernel drops too many packets of one source."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. Late packets of closed "
            "connections drop as well, and busy clients send many."
        ),
    ] = Mode.OBSERVE
    findtime_s: Annotated[float, RECENT, Meta(description="How far back drops are counted.")] = field(
        default=60.0, name="findtime"
    )
    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(
            description="Alert when this many packets of one source are dropped within `findtime` by a firewall, at a "
            "closed port, as malformed, or over a limit. Drops for lack of memory do not count."
        ),
    ] = 3000
    overlay_peers: Annotated[
        tuple[Network, ...],
        MERGED,
        Meta(
            description="Networks of hosts whose tunnels (VXLAN, Geneve, GRE, IPIP, SIT) this node trusts, such as the "
            "other nodes of a cluster. Dropped packets in their tunnels count for the inner source. Those in tunnels "
            "of any other sender count for the sender: anyone can write an inner source."
        ),
    ] = ()


class DropRateDetector(PacketRateDetector[DropsObserved]):
    """Counts packets that the kernel dropped for a reason that is the source's.

    Packets to few closed ports count a tenth: senders of logs or media do not notice that the receiver restarts.
    Drops for lack of memory or buffers are the node's problem and do not count, nor do those of unknown reasons. The
    source of an inner packet is a claim of the sender of the outer one, and counts only where that is an overlay peer.
    """

    name = "drop_rate"
    takes = (DropsObserved,)
    what = "packets that the kernel dropped"

    def __init__(self, limits: Limits, overlay_peers: Sequence[Network] = ()) -> None:
        """Take when to fire, and whose tunnels are trusted."""
        super().__init__(limits)
        self._overlay_peers = Networks(overlay_peers)

    def weigh(self, event: DropsObserved) -> int:
        """Count the drops that are the source's fault, those at few closed ports in part."""
        if event.outer and event.outer not in self._overlay_peers:  # as a program with former settings counted it
            return 0
        at_closed_ports = event.packets[_CLOSED_PORT]
        if event.closed_ports.bit_count() < _FEW_PORTS:
            at_closed_ports //= _SHARE_AT_FEW_PORTS
        return sum(event.packets[one] for one in _OFFENCES if one != _CLOSED_PORT) + at_closed_ports

    def sample(self, event: DropsObserved) -> tuple[str, ...]:
        """Report the reasons, and whose tunnel the packets were in."""
        reasons = tuple(f"{event.packets[one]} {DROP_CLASSES[one]}" for one in _OFFENCES if event.packets[one])
        if event.outer:
            return (*reasons, f"in a tunnel from overlay peer {format_address(event.outer)}")
        if event.tunnelled:
            return (*reasons, f"{event.tunnelled} tunnel packets, counted for the sender of the tunnel")
        return reasons


DETECTOR = Registration(
    detector=DropRateDetector,
    settings=DropRateSettings,
    summary="The kernel drops too many packets of one source.",
    make=lambda section, context: DropRateDetector(section.limits(context.ipv6_prefix), section.overlay_peers),
    order=30,
)
