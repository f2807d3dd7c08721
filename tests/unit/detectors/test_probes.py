"""Probes: which packets are addressed to many, by IP and by link-layer address, and so are none."""

import pytest

from monitor.detectors.probes import is_probe
from monitor.model.protocols import TCP_SYN
from monitor.model.sysctls import Ports
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
