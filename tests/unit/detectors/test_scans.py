"""Port scans and host sweeps, and what must not be taken for them."""

import pytest

from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.host_sweep import HostSweepDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from monitor.model.addresses import parse_address
from monitor.model.events import PacketLogged
from monitor.model.protocols import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from tests.support.events import tcp, udp

LIMITS = Limits(600.0, 10, 1000)


def both() -> list[DistinctDetector]:
    """Return both detectors."""
    return [PortScanDetector(LIMITS), HostSweepDetector(LIMITS)]


def fires(events: list[PacketLogged]) -> list[str]:
    """Name the detectors that fire on these events."""
    return [alert.detector for detector in both() for alert in detector.feed(events)]


@pytest.mark.parametrize("flags", [TCP_ACK, TCP_RST, TCP_RST | TCP_ACK, TCP_FIN | TCP_ACK, TCP_SYN | TCP_ACK])
def test_late_packets_of_closed_connections_do_not_count(flags: int) -> None:
    """A busy server's stragglers to a thousand of our client's ports are no scan."""
    assert fires([tcp("192.0.2.7", port, source_port=443, flags=flags) for port in range(1000, 2000)]) == []


def test_late_answers_to_our_own_udp_clients_do_not_count() -> None:
    """A slow resolver answers to many of our ports, low or ephemeral: it is never banned for it."""
    assert fires([udp("9.9.9.9", port, source_port=53) for port in range(1024, 9999)]) == []
    assert fires([udp("9.9.9.9", port, source_port=5353) for port in range(32768, 40000)]) == []


def test_broadcast_and_multicast_do_not_count() -> None:
    """A chatty neighbour on the LAN addresses everybody, by IP address or link-layer broadcast."""
    ports = range(1, 30)
    assert fires([udp("10.0.0.9", port, to="255.255.255.255") for port in ports]) == []
    assert fires([udp("10.0.0.9", port, to="224.0.0.251") for port in ports]) == []
    assert fires([udp("fe80::9", port, to="ff02::fb") for port in ports]) == []
    assert (
        fires([udp("10.0.0.9", port, to="10.0.0.255", mac="ff:ff:ff:ff:ff:ff:02:00:00:00:00:01") for port in ports])
        == []
    )


def test_ping_igmp_and_fragments_do_not_count() -> None:
    """What has no destination port is no probe."""
    events = [
        PacketLogged(1000.0, "", "eth0", "", parse_address("192.0.2.7"), bytes([10, 0, 0, host]), protocol)
        for protocol in (1, 2, 6, 17, 58)
        for host in range(50)
    ]
    assert fires(events) == []


def test_what_the_node_sends_itself_does_not_count() -> None:
    """An OUTPUT rule that logs the node's own connections never accuses the node."""
    assert fires([tcp("10.0.0.1", port, to="192.0.2.7", interface_in="") for port in range(100)]) == []
