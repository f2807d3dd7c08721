"""Stealth scan: one source tries many ports with TCP packets that no network stack sends (FIN, NULL, Xmas, SYN/FIN)."""

from monitor.detectors.refused_ports import RefusedPortsDetector, RefusedPortsSettings
from monitor.detectors.registration import Registration
from monitor.model.events import DropsObserved


class StealthScanSettings(RefusedPortsSettings, frozen=True, kw_only=True):
    """One source tries many ports with FIN, NULL, Xmas or SYN/FIN packets."""


class StealthScanDetector(RefusedPortsDetector):
    """Counts ports of dropped TCP packets without ACK and RST that are no plain SYN: no network stack sends these."""

    name = "stealth_scan"
    what = "distinct ports in FIN, NULL, Xmas or SYN/FIN packets, estimated"

    def ports(self, event: DropsObserved) -> int:
        """Return the ports of such packets."""
        return event.stealth_ports


DETECTOR = Registration(
    detector=StealthScanDetector,
    settings=StealthScanSettings,
    summary="One source tries many ports with TCP packets that no network stack sends, as counted by eBPF where the "
    "kernel drops them (`sources.drops`).",
    make=lambda section, context: StealthScanDetector(section.limits(context.ipv6_prefix)),
    order=31,
)
