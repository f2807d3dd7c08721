"""Outbound scans: what this side of the node tries elsewhere."""

import msgspec

from monitor.detectors.limits import Limits
from monitor.detectors.outbound_scan import OutboundScanDetector, OutboundScanSettings
from monitor.model.flows import OutboundIncomplete
from tests.support.detectors import Samples
from tests.support.flows import incomplete

POD = "10.244.1.7"


def outbound(port: int, *, to: str = "203.0.113.9", was_answered: bool = False) -> OutboundIncomplete:
    """Return an attempt of a pod."""
    attempt = incomplete(POD, port, to=to, was_answered=was_answered)
    return OutboundIncomplete(**msgspec.structs.asdict(attempt))


SAMPLES = Samples(
    OutboundScanSettings(maxretry=3),
    fires=[outbound(22), outbound(23), outbound(22, to="203.0.113.10")],
    quiet={
        "one dead service again and again": [outbound(443)] * 9,
        "services that answered": [outbound(port, was_answered=True) for port in range(9)],
    },
)


def test_the_evidence_names_destinations() -> None:
    """With address and service, and the pod is the source."""
    detector = OutboundScanDetector(Limits(600.0, 2, 100))
    (alert,) = detector.feed([outbound(22), outbound(23)])
    assert alert.evidence.what == "destinations that did not answer"
    assert alert.evidence.sample == ("203.0.113.9 tcp/22", "203.0.113.9 tcp/23")
    assert str(alert.network) == POD
