"""Closed port scan: one source tries many ports with SYN or UDP packets that a firewall or a closed port drops."""

from typing import Annotated

from msgspec import Meta

from monitor.detectors.refused_ports import PortThreshold, RefusedPortsDetector, RefusedPortsSettings
from monitor.detectors.registration import Registration
from monitor.model.bans import Mode
from monitor.model.events import DropsObserved


class ClosedPortScanSettings(RefusedPortsSettings, frozen=True, kw_only=True):
    """One source tries many closed ports."""

    mode: Annotated[
        Mode,
        Meta(
            description="`enforce` bans; `observe` only records what would have been banned. Health checks of many "
            "services that are down, and media that arrives after many calls, look the same."
        ),
    ] = Mode.OBSERVE
    maxretry: PortThreshold = 30


class ClosedPortScanDetector(RefusedPortsDetector):
    """Counts ports of dropped SYN and UDP probes; late answers to the node's own clients are none (probes.py)."""

    name = "closed_port_scan"
    what = "distinct refused ports in SYN or UDP packets, estimated"

    def ports(self, event: DropsObserved) -> int:
        """Return the ports of such packets."""
        return event.closed_ports


DETECTOR = Registration(
    detector=ClosedPortScanDetector,
    settings=ClosedPortScanSettings,
    summary="One source tries many ports that a firewall or a closed port refuses, as counted by eBPF where the kernel "
    "drops the packets (`sources.drops`).",
    make=lambda section, context: ClosedPortScanDetector(section.limits(context.ipv6_prefix)),
    order=32,
)
