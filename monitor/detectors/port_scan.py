"""Port scan: one source tries many ports (a vertical scan)."""

from monitor.detectors.distinct import Counted, DistinctDetector, Thresholds
from monitor.detectors.probes import service_key, show_service


def port_scan(thresholds: Thresholds) -> DistinctDetector:
    """Return the detector of one source that probes `maxretry` distinct destination ports."""
    return DistinctDetector(
        "port_scan",
        Counted(
            key=lambda source, _: source,
            item=service_key,
            what=lambda _: "distinct ports",
            show=show_service,
        ),
        thresholds,
    )
