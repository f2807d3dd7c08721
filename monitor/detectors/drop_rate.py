"""Drop rate: the kernel drops too many packets of one source."""

from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.detectors.packet_rate import PacketRateDetector, PacketRateSettings
from monitor.detectors.registration import Registration
from monitor.detectors.settings import RECENT
from monitor.model.addresses import format_address
from monitor.model.bans import Mode
from monitor.model.events import DROP_CLASSES, DropsObserved

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


class DropRateDetector(PacketRateDetector[DropsObserved]):
    """Counts packets that the kernel dropped for a reason that is the source's.

    Drops for lack of memory or buffers are the node's problem and do not count, nor do those of unknown reasons.
    """

    name = "drop_rate"
    takes = (DropsObserved,)
    what = "packets that the kernel dropped"

    def weigh(self, event: DropsObserved) -> int:
        """Count the drops that are the source's fault."""
        return sum(event.packets[one] for one in _OFFENCES)

    def sample(self, event: DropsObserved) -> tuple[str, ...]:
        """Report the reasons, and the tunnel that the packets came through."""
        reasons = tuple(f"{event.packets[one]} {DROP_CLASSES[one]}" for one in _OFFENCES if event.packets[one])
        return (*reasons, f"in a tunnel from {format_address(event.outer)}") if event.outer else reasons


DETECTOR = Registration(
    detector=DropRateDetector,
    settings=DropRateSettings,
    summary="The kernel drops too many packets of one source.",
    make=lambda section, context: DropRateDetector(section.limits(context.ipv6_prefix)),
    order=30,
)
