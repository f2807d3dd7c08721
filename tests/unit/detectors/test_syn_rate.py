"""SYN rate: first packets of TCP connections of one source, counted before any firewall."""

from monitor.detectors.limits import Limits
from monitor.detectors.syn_rate import SynRateDetector, SynRateSettings
from monitor.model.addresses import parse_address
from monitor.model.alerts import Strength
from monitor.model.events import SenderObserved
from tests.support.detectors import Samples
from tests.support.flows import CLIENT


def sent(source: str = CLIENT, *, time_s: float = 1000.0, syn_packets: int = 0, udp_packets: int = 0) -> SenderObserved:
    """Return what one source sent since the last poll."""
    return SenderObserved(time_s, parse_address(source), syn_packets, udp_packets)


SAMPLES = Samples(
    SynRateSettings(maxretry=10),
    fires=[sent(syn_packets=4), sent(syn_packets=4), sent(syn_packets=2, udp_packets=9)],
    quiet={
        "packets of another kind": [sent(udp_packets=1000)],
        "sources do not add up": [sent(f"192.0.2.{number}", syn_packets=9) for number in range(1, 9)],
        "packets of more than findtime": [sent(syn_packets=9), sent(syn_packets=9, time_s=1030.0)],
    },
)


def test_the_alert_says_what_was_counted() -> None:
    """Several polls add up; anyone can have sent the packets."""
    detector = SynRateDetector(Limits(10.0, 10))
    assert list(detector.feed([sent(syn_packets=9)])) == []
    assert detector.count(parse_address(CLIENT)) == 9
    (alert,) = detector.feed([sent(syn_packets=5, time_s=1001.0)])
    assert (alert.strength, alert.handshakes, alert.time_s) == (Strength.SPOOFABLE, None, 1001.0)
    evidence = alert.evidence
    assert (evidence.count, evidence.what, evidence.sample) == (
        14,
        "first packets of TCP connections",
        (),
    )
