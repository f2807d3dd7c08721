"""Port scans and host sweeps, and what must not be taken for them."""

import pytest

from monitor.detectors.distinct import DistinctDetector
from monitor.detectors.host_sweep import HostSweepDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from monitor.model.addresses import parse_address
from monitor.model.alerts import Strength
from monitor.model.events import PacketLogged
from monitor.model.protocols import (
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_IGMP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TCP_ACK,
    TCP_FIN,
    TCP_PSH,
    TCP_RST,
    TCP_SYN,
    TCP_URG,
)
from tests.support.events import tcp, udp

EPHEMERAL_PORTS = range(32768, 61000)
THRESHOLDS = Limits(600.0, 10, 1000)


def port_scan() -> PortScanDetector:
    """Return one that fires at ten ports."""
    return PortScanDetector(THRESHOLDS, EPHEMERAL_PORTS)


def host_sweep() -> HostSweepDetector:
    """Return one that fires at ten hosts."""
    return HostSweepDetector(THRESHOLDS, EPHEMERAL_PORTS)


def both() -> list[DistinctDetector]:
    """Return both detectors."""
    return [PortScanDetector(THRESHOLDS, EPHEMERAL_PORTS), HostSweepDetector(THRESHOLDS, EPHEMERAL_PORTS)]


def fires(events: list[PacketLogged]) -> list[str]:
    """Name the detectors that fire on these events."""
    return [alert.detector for detector in both() for alert in detector.feed(events)]


@pytest.mark.parametrize("flags", [TCP_SYN, 0, TCP_FIN, TCP_FIN | TCP_PSH | TCP_URG, TCP_SYN | TCP_FIN])
def test_tcp_scans_are_seen(flags: int) -> None:
    """SYN, NULL, FIN and Xmas scans of ten ports fire, with evidence that names the ports."""
    alerts = PortScanDetector(THRESHOLDS, EPHEMERAL_PORTS).feed(
        [tcp("192.0.2.7", port, flags=flags) for port in range(20, 30)]
    )
    assert [(alert.source, alert.strength) for alert in alerts] == [(parse_address("192.0.2.7"), Strength.SPOOFABLE)]
    assert alerts[0].evidence.sample == tuple(f"tcp/{port}" for port in range(20, 30))
    assert (alerts[0].evidence.count, alerts[0].evidence.maxretry) == (10, 10)


def test_udp_scans_are_seen() -> None:
    """UDP probes of ten ports below the ephemeral range fire."""
    assert fires([udp("2001:db8::7", port) for port in range(100, 110)]) == ["port_scan"]


def test_sweeps_are_seen() -> None:
    """One port on ten hosts fires, and the evidence names port and hosts."""
    alerts = HostSweepDetector(THRESHOLDS, EPHEMERAL_PORTS).feed(
        [tcp("192.0.2.7", 22, to=f"10.0.0.{host}") for host in range(10)]
    )
    assert [alert.evidence.what for alert in alerts] == ["distinct hosts on tcp/22"]
    assert alerts[0].evidence.sample[:2] == ("10.0.0.0", "10.0.0.1")


def test_sources_do_not_add_up() -> None:
    """Ten sources with one port each are ten visitors, not a scan."""
    assert fires([tcp(f"192.0.2.{port}", port) for port in range(20, 30)]) == []


@pytest.mark.parametrize("flags", [TCP_ACK, TCP_RST, TCP_RST | TCP_ACK, TCP_FIN | TCP_ACK, TCP_SYN | TCP_ACK])
def test_late_packets_of_closed_connections_do_not_count(flags: int) -> None:
    """A busy server's stragglers to a thousand of our client's ports are no scan."""
    assert fires([tcp("192.0.2.7", port, source_port=443, flags=flags) for port in range(1000, 2000)]) == []


def test_late_answers_to_our_own_udp_clients_do_not_count() -> None:
    """A slow resolver answers to many of our ports, low or ephemeral: it is never banned for it."""
    assert fires([udp("9.9.9.9", port, source_port=53) for port in range(1024, 9999)]) == []
    assert fires([udp("9.9.9.9", port, source_port=5353) for port in range(32768, 40000)]) == []


def test_broadcast_and_multicast_do_not_count() -> None:
    """A chatty neighbour on the LAN addresses everybody, by IP or by the link's group bit."""
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
        for protocol in (PROTOCOL_ICMP, PROTOCOL_IGMP, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMPV6)
        for host in range(50)
    ]
    assert fires(events) == []


def test_what_the_node_sends_itself_does_not_count() -> None:
    """An OUTPUT rule that logs the node's own connections never accuses the node."""
    assert fires([tcp("10.0.0.1", port, to="192.0.2.7", interface_in="") for port in range(100)]) == []


def test_a_slow_scan_escapes_only_beyond_findtime() -> None:
    """Ten ports within findtime fire however slowly they come; spread beyond it they do not."""
    assert fires([tcp("192.0.2.7", port, time_s=60.0 * port) for port in range(10)]) == ["port_scan"]
    assert fires([tcp("192.0.2.7", port, time_s=70.0 * port) for port in range(30)]) == []


def test_one_host_with_many_addresses_is_one_scanner() -> None:
    """Ten addresses of one /64 with a port each cross the threshold together; the alert names the /64."""
    alerts = PortScanDetector(THRESHOLDS, EPHEMERAL_PORTS).feed(
        [tcp(f"2001:db8::{port}", port) for port in range(20, 30)]
    )
    assert [(str(alert.network), alert.is_alone) for alert in alerts] == [("2001:db8::/64", False)]


def test_a_scanner_does_not_accuse_its_neighbours() -> None:
    """After one address crossed by itself, a neighbour's stray packet in the same /64 raises nothing."""
    detector = PortScanDetector(THRESHOLDS, EPHEMERAL_PORTS)
    alone = detector.feed([tcp("2001:db8::7", port) for port in range(20, 30)])
    assert [(str(alert.network), alert.is_alone) for alert in alone] == [("2001:db8::/64", True)]
    assert detector.feed([tcp("2001:db8::8", 99)]) == []
