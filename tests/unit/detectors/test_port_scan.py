"""Port scans: many ports, one source."""

import pytest

from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector, PortScanSettings
from monitor.model.addresses import parse_address
from monitor.model.alerts import Strength
from monitor.model.events import PacketLogged
from monitor.model.protocols import TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN, TCP_URG
from tests.support.detectors import Samples
from tests.support.events import tcp, udp
from tests.support.flows import CLIENT, incomplete

LIMITS = Limits(600.0, 10, 1000)
SAMPLES = Samples(
    PortScanSettings(maxretry=3),
    fires=[tcp(CLIENT, 22), incomplete(CLIENT, 80), udp(CLIENT, 53)],
    quiet={
        "one port again and again is no scan": [tcp(CLIENT, 22)] * 9,
        "late packets of closed connections": [tcp(CLIENT, port, flags=TCP_ACK) for port in range(40_000, 40_009)],
        "late replies to the node's own clients": [udp(CLIENT, port, source_port=53) for port in range(40_000, 40_009)],
        "sources do not add up": [tcp(f"192.0.2.{number}", number) for number in range(1, 9)],
        "ports of more than findtime": [tcp(CLIENT, 1 + step, time_s=1000.0 + 400.0 * step) for step in range(9)],
    },
)


def _fires(events: list[PacketLogged]) -> list[str]:
    return [alert.detector for alert in PortScanDetector(LIMITS).feed(events)]


@pytest.mark.parametrize("flags", [TCP_SYN, 0, TCP_FIN, TCP_FIN | TCP_PSH | TCP_URG, TCP_SYN | TCP_FIN])
def test_tcp_scans_are_seen(flags: int) -> None:
    """SYN, NULL, FIN and Xmas scans of ten ports fire, with evidence that names the ports."""
    alerts = PortScanDetector(LIMITS).feed([tcp("192.0.2.7", port, flags=flags) for port in range(20, 30)])
    assert [(alert.source, alert.strength) for alert in alerts] == [(parse_address("192.0.2.7"), Strength.SPOOFABLE)]
    assert alerts[0].evidence.sample == tuple(f"tcp/{port}" for port in range(20, 30))
    assert (alerts[0].evidence.count, alerts[0].evidence.maxretry) == (10, 10)


def test_a_slow_scan_escapes_only_beyond_findtime() -> None:
    """Ten ports within findtime fire however slowly they come; spread beyond it they do not."""
    assert _fires([tcp("192.0.2.7", port, time_s=60.0 * port) for port in range(10)]) == ["port_scan"]
    assert _fires([tcp("192.0.2.7", port, time_s=70.0 * port) for port in range(30)]) == []


def test_one_host_with_many_addresses_is_one_scanner() -> None:
    """Ten addresses of one /64 with a port each cross the threshold together; the alert names the /64."""
    alerts = PortScanDetector(LIMITS).feed([tcp(f"2001:db8::{port}", port) for port in range(20, 30)])
    assert [(str(alert.network), alert.is_alone) for alert in alerts] == [("2001:db8::/64", False)]


def test_a_scanner_does_not_accuse_its_neighbours() -> None:
    """After one address crossed by itself, a neighbour's stray packet in the same /64 raises nothing."""
    detector = PortScanDetector(LIMITS)
    alone = detector.feed([tcp("2001:db8::7", port) for port in range(20, 30)])
    assert [(str(alert.network), alert.is_alone) for alert in alone] == [("2001:db8::/64", True)]
    assert detector.feed([tcp("2001:db8::8", 99)]) == []


def test_sources_do_not_add_up() -> None:
    """Ten sources with one port each are ten visitors, not a scan."""
    assert _fires([tcp(f"192.0.2.{port}", port) for port in range(20, 30)]) == []


def test_udp_scans_are_seen() -> None:
    """UDP probes of ten ports below the ephemeral range fire."""
    assert _fires([udp("2001:db8::7", port) for port in range(100, 110)]) == ["port_scan"]
