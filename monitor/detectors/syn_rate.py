"""SYN rate: one source opens too many TCP connections, counted by XDP before any firewall."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.detectors.packet_rate import PacketRateDetector, PacketRateSettings
from monitor.detectors.registration import Registration
from monitor.model.events import SenderObserved


class SynRateSettings(PacketRateSettings, frozen=True, kw_only=True):
    """One source opens too many TCP connections."""

    maxretry: Annotated[
        int,
        integer(10, 100_000_000),
        Meta(description="Alert when one source sends this many first packets of connections (SYN) within `findtime`."),
    ] = 5000


class SynRateDetector(PacketRateDetector[SenderObserved]):
    """Counts first packets of TCP connections, before any firewall."""

    name = "syn_rate"
    takes = (SenderObserved,)
    what = "first packets of TCP connections"

    def weigh(self, event: SenderObserved) -> int:
        """Count them."""
        return event.syn_packets


DETECTOR = Registration(
    detector=SynRateDetector,
    settings=SynRateSettings,
    summary="One source opens too many connections, as counted by XDP (`bans.xdp.interfaces`).",
    make=lambda section, context: SynRateDetector(section.limits(context.ipv6_prefix)),
    is_wanted=lambda _, context: bool(context.xdp_interfaces),
    order=40,
)
