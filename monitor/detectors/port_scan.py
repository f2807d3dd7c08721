"""Port scan: one source tries many ports (a vertical scan)."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.probes import Probe, service_key, show_service
from monitor.detectors.registration import Registration
from monitor.detectors.settings import ENTRIES, WindowSettings


class PortScanSettings(WindowSettings, frozen=True, kw_only=True):
    """One source tries many ports."""

    maxretry: Annotated[
        int,
        integer(2, 10_000),
        Meta(description="Alert when one source tries this many distinct destination ports within `findtime`."),
    ] = 15
    max_entries: Annotated[
        int, ENTRIES, Meta(description="Maximum number of source and port pairs remembered: the bound on memory.")
    ] = 32_768


class PortScanDetector(DistinctDetector):
    """Counts the services that each source probes."""

    name = "port_scan"

    def key(self, source: bytes, probe: Probe) -> bytes:  # noqa: ARG002 - whatever was probed
        """Return the source: all its probes count together."""
        return source

    def item(self, probe: Probe) -> bytes:
        """Return the service that was probed."""
        return service_key(probe)

    def place(self, key: bytes, item: bytes) -> bytes:  # noqa: ARG002 - whoever tried it
        """Return the service, at any address."""
        return item

    def is_served(self, item: bytes) -> bool:
        """Whether a service is known on the port."""
        return self.surrounding.services.has_port(item[0], int.from_bytes(item[1:]))

    def what(self, probe: Probe) -> str:  # noqa: ARG002 - the same for all
        """Name the items."""
        return "distinct ports"

    def show(self, item: bytes) -> str:
        """Write a service."""
        return show_service(item)


DETECTOR = Registration(
    detector=PortScanDetector,
    settings=PortScanSettings,
    summary="One source tries many ports of the node.",
    make=lambda section, context: PortScanDetector(section.limits(context.ipv6_prefix)),
    order=10,
)
