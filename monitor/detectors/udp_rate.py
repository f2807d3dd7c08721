"""UDP rate: one source sends too many UDP packets, counted by XDP before any firewall."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.detectors.packet_rate import PacketRateDetector, PacketRateSettings
from monitor.detectors.registration import Registration
from monitor.model.events import SenderObserved


class UdpRateSettings(PacketRateSettings, frozen=True, kw_only=True):
    """One source sends too many UDP packets."""

    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(description="Alert when one source sends this many UDP packets within `findtime`."),
    ] = 200_000


class UdpRateDetector(PacketRateDetector[SenderObserved]):
    """Counts UDP packets, before any firewall."""

    name = "udp_rate"
    takes = (SenderObserved,)
    what = "UDP packets"

    def weigh(self, event: SenderObserved) -> int:
        """Count them."""
        return event.udp_packets


DETECTOR = Registration(
    detector=UdpRateDetector,
    settings=UdpRateSettings,
    summary="One source sends too many UDP packets, as counted by XDP (`bans.xdp.interfaces`).",
    make=lambda section, context: UdpRateDetector(section.limits(context.ipv6_prefix)),
    is_wanted=lambda _, context: bool(context.xdp_interfaces),
    order=41,
)
