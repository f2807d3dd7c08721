"""Probes: which packets are addressed to many, by IP and by link-layer address, and so are none."""

import msgspec
import pytest

from monitor.detectors.probes import is_probe
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import REGISTRATIONS
from monitor.model.addresses import parse_address
from monitor.model.events import PacketLogged, QuotedPacket
from monitor.model.protocols import PROTOCOL_ICMP, PROTOCOL_TCP, TCP_SYN
from monitor.model.sysctls import Ports
from monitor.sources.kmsg.format import decode_packet
from tests.support.events import tcp, udp

EPHEMERAL = Ports()
SENDER = "02:00:00:00:00:02:08:00"
LINKS = {
    "unicast": "02:00:00:00:00:01",
    "NLB cluster, unicast mode": "02:bf:0a:00:00:01",
    "NLB cluster, multicast mode": "03:bf:0a:00:00:01",
    "NLB cluster, IGMP mode": "01:00:5e:7f:00:01",
    "IPv4 multicast": "01:00:5e:00:00:fb",
    "IPv6 multicast": "33:33:00:00:00:fb",
    "firewall cluster (locally administered group)": "03:00:00:00:00:05",
    "almost broadcast": "ff:ff:ff:ff:ff:fe",
}
"""Link-layer addresses that decide nothing about a packet, because the IP address does."""
UNICAST = ("10.0.0.1", "10.0.0.255", "192.0.2.254", "223.255.255.255", "2001:db8::1", "fe80::1", "fd00::ff")
GROUPS = ("224.0.0.1", "224.0.0.251", "239.255.255.250", "255.255.255.255", "ff02::fb", "ff05::2", "ff0e::1")


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("destination", UNICAST)
def test_unicast_probes_count_whatever_link_address_carried_them(link: str, destination: str) -> None:
    """The group bit of a cluster's link-layer address hides nobody, in either protocol."""
    mac = f"{link}:{SENDER}"
    assert is_probe(tcp("198.51.100.7", 22, to=destination, mac=mac, flags=TCP_SYN), EPHEMERAL)
    assert is_probe(udp("198.51.100.7", 161, to=destination, mac=mac), EPHEMERAL)


@pytest.mark.parametrize("link", [*LINKS.values(), "ff:ff:ff:ff:ff:ff", ""])
@pytest.mark.parametrize("destination", GROUPS)
def test_packets_to_a_group_address_never_count(link: str, destination: str) -> None:
    """What is sent to a group is for everybody, whatever link-layer address it has, or none."""
    mac = f"{link}:{SENDER}" if link else ""
    assert not is_probe(udp("198.51.100.7", 161, to=destination, mac=mac), EPHEMERAL)


@pytest.mark.parametrize("destination", [address for address in UNICAST if "." in address])
def test_the_broadcast_link_address_makes_a_broadcast(destination: str) -> None:
    """The broadcast address of a subnet need not end in .255: the link-layer address decides."""
    assert not is_probe(udp("198.51.100.7", 161, to=destination, mac=f"ff:ff:ff:ff:ff:ff:{SENDER}"), EPHEMERAL)


@pytest.mark.parametrize("destination", UNICAST)
def test_without_a_link_address_only_the_ending_decides(destination: str) -> None:
    """The node's own broadcasts loop back without a header; so do packets of tunnels, which are probes."""
    assert is_probe(udp("198.51.100.7", 161, to=destination), EPHEMERAL) is not destination.endswith(".255")


def test_an_icmp_error_accuses_neither_its_sender_nor_whom_it_quotes() -> None:
    """The quoted packet is what the sender of the error claims to have got: no detector of logged packets uses it."""
    quoted = QuotedPacket(parse_address("203.0.113.66"), parse_address("10.0.0.1"), PROTOCOL_TCP, 40_000, 22)
    errors = [
        PacketLogged(
            1000.0,
            "drop: ",
            "eth0",
            "",
            parse_address("198.51.100.7"),
            parse_address("10.0.0.1"),
            PROTOCOL_ICMP,
            icmp_type=3,
            icmp_code=3,
            quoted=msgspec.structs.replace(quoted, destination_port=port),
        )
        for port in range(1, 200)
    ]
    for registration in REGISTRATIONS:
        if PacketLogged in registration.detector.takes:
            detector = registration.build(registration.name, registration.settings(), DetectorContext())
            assert list(detector.feed(errors)) == []
            assert detector.count(quoted.source) == detector.count(errors[0].source) == 0


def test_a_line_of_a_tunnel_interface_names_the_inner_source_only() -> None:
    """A `sit` interface logs the ends of its tunnel, too; they are neither source nor destination of the packet."""
    line = (
        "drop: IN=sit1 OUT= MAC=45:00:00:64 TUNNEL=198.51.100.9->192.0.2.1 SRC=2001:0db8:0000:0000:0000:0000:0000:0007 "
        "DST=2001:0db8:0000:0000:0000:0000:0000:0001 LEN=60 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=TCP SPT=40000 DPT=22 "
        "WINDOW=512 RES=0x00 SYN URGP=0 "
    )
    event = decode_packet(line, 1000.0)
    assert (event.source, event.destination) == (parse_address("2001:db8::7"), parse_address("2001:db8::1"))
