"""Packet rates: what an alert says of the packets that dropped."""

import pytest

from monitor.detectors.drop_rate import DropRateDetector
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address
from monitor.model.events import DROP_CLASSES, DropsObserved

COUNTS = {"firewall": 8, "closed_port": 4, "no_memory": 100}


@pytest.mark.parametrize(
    ("outer", "sample"),
    [
        (None, ("8 firewall", "4 closed_port")),
        ("10.0.0.7", ("8 firewall", "4 closed_port", "in a tunnel from 10.0.0.7")),
        ("2001:db8::7", ("8 firewall", "4 closed_port", "in a tunnel from 2001:db8::7")),
    ],
)
def test_an_alert_says_why_packets_dropped_and_who_sent_the_tunnel(outer: str | None, sample: tuple[str, ...]) -> None:
    """Reasons that are the source's, with their packets; and where a tunnel carried them, its other end."""
    packets = tuple(COUNTS.get(name, 0) for name in DROP_CLASSES)
    event = DropsObserved(1000.0, parse_address("192.0.2.7"), packets, parse_address(outer) if outer else None)
    (alert,) = DropRateDetector(Limits(60.0, 10)).feed([event])
    assert (alert.evidence.count, alert.evidence.sample) == (12, sample)
