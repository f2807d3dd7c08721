"""Host sweep: one source tries the same port on many destinations (a horizontal scan)."""

from monitor.detectors.distinct import Counted, DistinctDetector, Thresholds
from monitor.detectors.probes import service_key, show_service
from monitor.model.addresses import format_address


def host_sweep(thresholds: Thresholds) -> DistinctDetector:
    """Return the detector of one source that probes one port on `maxretry` distinct destinations."""
    return DistinctDetector(
        "host_sweep",
        Counted(
            key=lambda source, event: source + service_key(event),
            item=lambda event: event.destination,
            what=lambda event: f"distinct hosts on {show_service(service_key(event))}",
            show=format_address,
        ),
        thresholds,
    )
