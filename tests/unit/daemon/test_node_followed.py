"""What surrounds the node, from settings, routes and sysctls to the detectors."""

import pytest

from monitor.config.types import Automatic, PortRange
from monitor.daemon.pipeline.wiring import build_guard, build_surrounding
from monitor.detectors.port_scan import PortScanSettings
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Mode
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.settings.bans import Bans, Internal
from monitor.settings.schema import Settings
from tests.support.events import udp
from tests.support.flows import CLIENT, handshakes
from tests.unit.daemon.test_flows_pipeline import NODE_ENTRIES, feed, names, pipeline, settings

NETWORKS = NodeNetworks(
    connected=tuple(map(parse_network, ("172.17.0.0/16", "198.51.100.0/24", "203.0.113.0/24"))),
    uplink=(parse_network("203.0.113.0/24"),),
    behind=(parse_network("172.17.0.0/16"), parse_network("198.51.0.0/16")),
    elsewhere=(parse_network("198.51.7.0/24"), parse_network("10.244.9.0/24")),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("172.17.0.2", "connected behind internal"),  # a container
        ("198.51.100.7", "connected behind internal"),  # the LAN of a router, with public addresses
        ("198.51.8.7", "behind"),  # routed through it
        ("198.51.7.7", ""),  # inside by number, yet reached by the uplink
        ("203.0.113.7", "connected"),  # a neighbour in the provider's network
        ("10.244.9.7", "behind internal"),  # a pod of another node
        ("100.64.0.1", "internal"),
        ("8.8.8.8", ""),
        ("fd00::1", "internal"),
        ("2001:db8::1", ""),
    ],
)
def test_addresses_are_placed_by_the_networks_around_the_node(text: str, expected: str) -> None:
    """Whether an address is in a connected network, behind the node, or internal."""
    surrounding = build_surrounding(
        Settings(), build_guard(Settings(), (), NODE_ENTRIES), NODE_ENTRIES, NETWORKS, Sysctls()
    )
    found = [name for name in ("connected", "behind", "internal") if parse_address(text) in getattr(surrounding, name)]
    assert " ".join(found) == expected


def test_connected_networks_are_internal_only_if_configured() -> None:
    """`bans.internal` replaces both the private networks and the connected ones."""
    given = Settings(bans=Bans(internal=Internal(networks=(parse_network("192.0.2.0/24"),), connected=False)))
    internal = build_surrounding(given, build_guard(given, (), ()), (), NETWORKS, Sysctls()).internal
    assert [text for text in ("192.0.2.1", "172.17.0.2", "10.0.0.1") if parse_address(text) in internal] == [
        "192.0.2.1"
    ]


def test_networks_are_followed_without_a_change_of_the_allowlist() -> None:
    """A container that starts changes what is behind the node; the detectors follow, and entries are kept."""
    stages = pipeline()
    stages.follow_node(NODE_ENTRIES, 1000.0, NETWORKS)
    assert parse_address("172.17.0.2") in stages.detectors[0].surrounding.behind
    stages.follow_node([], 1001.0)
    assert parse_address("172.17.0.2") in stages.detectors[0].surrounding.behind
    assert stages.surrounding.own == frozenset()


@pytest.mark.parametrize(
    ("configured", "read", "ranges", "is_noticed"),
    [
        (Automatic.AUTO, (32_768, 60_999), ((32_768, 60_999),), False),
        (Automatic.AUTO, (1024, 2000), ((1024, 2000),), False),
        (Automatic.AUTO, None, ((32_768, 60_999),), False),
        (PortRange(1024, 65_535), (32_768, 60_999), ((1024, 65_535), (32_768, 60_999)), False),
        (PortRange(32_768, 60_999), (10_000, 65_535), ((10_000, 65_535), (32_768, 60_999)), True),
        (PortRange(1024, 2000), None, ((1024, 2000), (32_768, 60_999)), True),
    ],
)
def test_ports_of_clients_follow_the_sysctl(
    configured: PortRange | Automatic,
    read: tuple[int, int] | None,
    ranges: tuple[tuple[int, int], ...],
    is_noticed: bool,
) -> None:
    """A configured range counts in addition, and a notice says so where it does not contain that of the kernel."""
    stages = pipeline(settings(ephemeral_ports=configured))
    stages.follow_node(NODE_ENTRIES, 1000.0, sysctls=Sysctls(local_ports=read))
    assert {detector.surrounding.client_ports.ranges for detector in stages.detectors} == {ranges}
    assert any("detectors.ephemeral_ports" in notice for notice in stages.notices) is is_noticed


def test_a_new_port_range_forgets_nothing() -> None:
    """Probes counted before a change of the sysctl or of the setting count after it."""
    scans = PortScanSettings(mode=Mode.OBSERVE, maxretry=4)
    stages = pipeline(settings(port_scan=scans))
    before = stages.detectors[0]
    assert stages.process([udp(CLIENT, port) for port in (40_000, 1025, 1026, 1027)], 1000.0) == []
    stages.follow_node(NODE_ENTRIES, 1000.0, sysctls=Sysctls(local_ports=(1024, 2000)))
    assert stages.process([udp(CLIENT, 1028)], 1000.0) == []
    stages.reconfigure(settings(port_scan=scans, ephemeral_ports=PortRange(53, 53)), (), 1000.0)
    assert stages.detectors[0] is before
    assert stages.process([udp(CLIENT, 53)], 1000.0) == []
    assert names(stages.process([udp(CLIENT, 40_001)], 1000.0)) == [(CLIENT, "port_scan")]


def test_handshakes_that_anyone_can_forge_prove_nothing() -> None:
    """While connection tracking takes any sequence number; what was noted in that time proves nothing later either."""
    stages = pipeline()
    for is_liberal, expected in ((True, Strength.SPOOFABLE), (False, Strength.PROVEN)):
        stages.follow_node(NODE_ENTRIES, 1000.0, sysctls=Sysctls(is_tcp_liberal=is_liberal))
        assert len(stages.proofs) == 0
        feed(stages, invalid_total=7)
        decisions = feed(stages, 1001.0, completed=handshakes(10), invalid_total=7)
        assert {decision.alert.strength for decision in decisions if decision.alert} == {expected}
