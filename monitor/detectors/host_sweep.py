"""Host sweep: one source tries the same port on many destinations (a horizontal scan)."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.probes import SERVICE_KEY_BYTES, Probe, service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.settings import ENTRIES, WindowSettings
from monitor.model.addresses import format_address


class HostSweepSettings(WindowSettings, frozen=True, kw_only=True):
    """One source tries one port on many addresses."""

    maxretry: Annotated[
        int,
        integer(2, 10_000),
        Meta(
            description="Alert when one source tries the same port on this many distinct destination addresses within "
            "`findtime`."
        ),
    ] = 10
    max_entries: Annotated[
        int,
        ENTRIES,
        Meta(
            description="Maximum number of source, port and destination triples remembered: the bound on memory.",
        ),
    ] = 32_768


class HostSweepDetector(DistinctDetector):
    """Counts the destinations on which each source probes one service."""

    name = "host_sweep"

    def key(self, source: bytes, probe: Probe) -> bytes:
        """Return the source with the service: sweeps of two ports do not add up."""
        return source + service_key(probe)

    def item(self, probe: Probe) -> bytes:
        """Return the destination."""
        return probe.destination

    def origin(self, key: bytes) -> bytes:
        """Return the key without the service."""
        return key[:-SERVICE_KEY_BYTES]

    def place(self, key: bytes, item: bytes) -> bytes:
        """Return the service at the destination."""
        return item + key[-SERVICE_KEY_BYTES:]

    def what(self, probe: Probe) -> str:
        """Name the items, and the service."""
        return f"distinct hosts on {show_service(service_key(probe))}"

    def show(self, item: bytes) -> str:
        """Write a destination."""
        return format_address(item)


DETECTOR = Registration(
    detector=HostSweepDetector,
    settings=HostSweepSettings,
    summary="One source tries one port on many addresses.",
    make=lambda section, context: HostSweepDetector(section.limits(context.ipv6_prefix)),
    order=11,
)
