"""Outbound scan: the node, or a host or pod behind it, tries many destinations that do not answer."""

from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import integer
from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.probes import SERVICE_KEY_BYTES, Probe, service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.settings import BANTIME, ENTRIES, WindowSettings
from monitor.model.addresses import format_address
from monitor.model.bans import Mode
from monitor.model.flows import OutboundIncomplete


class OutboundScanSettings(WindowSettings, frozen=True, kw_only=True):
    """The node, or something behind it, scans others."""

    mode: Annotated[
        Mode,
        Meta(
            description="`observe` only records the source; `enforce` refuses its new connections, in any direction. "
            "Peer-to-peer clients and monitoring try many destinations as well."
        ),
    ] = Mode.OBSERVE
    maxretry: Annotated[
        int,
        integer(2, 10_000),
        Meta(
            description="Alert when one source tries this many distinct destinations (address and port) within "
            "`findtime` without an answer."
        ),
    ] = 100
    bantime_s: Annotated[float, BANTIME, Meta(description="How long a ban lasts.")] = field(
        default=600.0, name="bantime"
    )
    max_entries: Annotated[
        int,
        ENTRIES,
        Meta(description="Maximum number of source and destination pairs remembered: the bound on memory."),
    ] = 32_768


class OutboundScanDetector(DistinctDetector):
    """Counts the services elsewhere that each source on this side of the node tries without success."""

    name = "outbound_scan"
    takes = (OutboundIncomplete,)

    def key(self, source: bytes, probe: Probe) -> bytes:  # noqa: ARG002 - whatever was tried
        """Return the source."""
        return source

    def item(self, probe: Probe) -> bytes:
        """Return destination and service."""
        return probe.destination + service_key(probe)

    def what(self, probe: Probe) -> str:  # noqa: ARG002 - the same for all
        """Name the items."""
        return "destinations that did not answer"

    def show(self, item: bytes) -> str:
        """Write a destination and its service."""
        return f"{format_address(item[:-SERVICE_KEY_BYTES])} {show_service(item[-SERVICE_KEY_BYTES:])}"


DETECTOR = Registration(
    detector=OutboundScanDetector,
    settings=OutboundScanSettings,
    summary="The node, or a host or pod behind it, tries many destinations that do not answer.",
    make=lambda section, context: OutboundScanDetector(section.limits(context.ipv6_prefix)),
    order=13,
)
