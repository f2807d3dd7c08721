"""Drop rate: packets that the kernel drops, for reasons that are the source's."""

import msgspec
import pytest

from monitor.detectors.drop_rate import DropRateDetector, DropRateSettings
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.events import DROP_CLASSES, DropsObserved
from tests.support.detectors import Samples
from tests.support.flows import CLIENT

COUNTS = {"firewall": 8, "closed_port": 4, "no_memory": 100}


def drops(source: str = CLIENT, *, time_s: float = 1000.0, closed_ports: int = 0xFF, **packets: int) -> DropsObserved:
    """Return packets of one source that were dropped, by class of reason, those at closed ports at eight of them."""
    counts = tuple(packets.get(name, 0) for name in DROP_CLASSES)
    return DropsObserved(time_s, parse_address(source), counts, closed_ports=closed_ports)


SAMPLES = Samples(
    DropRateSettings(maxretry=10),
    fires=[drops(firewall=4), drops(closed_port=4), drops(bad_packet=1, rate_limit=1)],
    quiet={
        "lack of memory is the node's problem": [drops(no_memory=1000)],
        "reasons that say nothing": [drops(other=1000)],
        "a receiver of logs that restarts": [drops(closed_port=99, closed_ports=1)],
        "sources do not add up": [drops(f"192.0.2.{number}", firewall=9) for number in range(1, 9)],
        "an inner source that no overlay peer vouches for": [
            msgspec.structs.replace(drops(firewall=99), outer=parse_address("198.51.100.9"))
        ],
        "drops of more than findtime": [drops(firewall=9), drops(firewall=9, time_s=1200.0)],
    },
)


def test_the_alert_names_the_reasons() -> None:
    """Those of the poll that crossed the threshold; anyone can have sent the packets."""
    detector = DropRateDetector(Limits(60.0, 10))
    assert list(detector.feed([drops(firewall=9)])) == []
    assert detector.count(parse_address(CLIENT)) == 9
    (alert,) = detector.feed([drops(closed_port=2, rate_limit=3, other=7, time_s=1001.0)])
    assert (alert.strength, alert.handshakes, alert.time_s) == (Strength.SPOOFABLE, None, 1001.0)
    assert (alert.evidence.count, alert.evidence.what) == (14, "packets that the kernel dropped")
    assert alert.evidence.sample == ("2 closed_port", "3 rate_limit")


def test_one_poll_may_report_many_sources() -> None:
    """Each is counted for itself; an IPv6 prefix is one source."""
    detector = DropRateDetector(Limits(60.0, 10))
    crowd = [drops(f"2001:db8::{number}", firewall=2) for number in range(1, 6)]
    alerts = list(detector.feed([drops("192.0.2.7", firewall=10), drops("192.0.2.8", firewall=9), *crowd]))
    assert [str(alert.network) for alert in alerts] == ["192.0.2.7", "2001:db8::/64"]


PEERS = (parse_network("10.0.0.0/24"), parse_network("2001:db8:1::/64"))


@pytest.mark.parametrize(
    ("outer", "tunnelled", "sample"),
    [
        (None, 0, ("8 firewall", "4 closed_port")),
        (None, 7, ("8 firewall", "4 closed_port", "7 tunnel packets, counted for the sender of the tunnel")),
        ("10.0.0.7", 12, ("8 firewall", "4 closed_port", "in a tunnel from overlay peer 10.0.0.7")),
        ("2001:db8:1::7", 12, ("8 firewall", "4 closed_port", "in a tunnel from overlay peer 2001:db8:1::7")),
    ],
)
def test_an_alert_says_why_packets_dropped_and_who_sent_the_tunnel(
    outer: str | None, tunnelled: int, sample: tuple[str, ...]
) -> None:
    """Reasons that are the source's, with their packets; and where a tunnel carried them, whom that accuses."""
    packets = tuple(COUNTS.get(name, 0) for name in DROP_CLASSES)
    peer = parse_address(outer) if outer else None
    event = DropsObserved(1000.0, parse_address("192.0.2.7"), packets, peer, tunnelled, closed_ports=0xFF)
    (alert,) = DropRateDetector(Limits(60.0, 10), PEERS).feed([event])
    assert (alert.evidence.count, alert.evidence.sample) == (12, sample)


@pytest.mark.parametrize("outer", ["10.0.1.7", "2001:db8:2::7"])
def test_an_inner_source_counts_only_behind_an_overlay_peer(outer: str) -> None:
    """What a program with former settings still reports after a reload is not counted by the new ones."""
    packets = tuple(COUNTS.get(name, 0) for name in DROP_CLASSES)
    event = DropsObserved(1000.0, parse_address("192.0.2.7"), packets, parse_address(outer), 12)
    assert list(DropRateDetector(Limits(60.0, 10), PEERS).feed([event])) == []
    assert list(DropRateDetector(Limits(60.0, 10)).feed([event])) == []
