"""The networks around the node: a matrix of interfaces and routes as real nodes have them."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import format_address, network_of, parse_address, parse_network
from monitor.model.networks import Networks, NodeNetworks
from monitor.node import routes as module
from monitor.node.routes import InterfaceAddress, Routes, container_bridges, find_networks
from monitor.node.rtnetlink import Hops, nexthop
from tests.unit.sources.test_node import attribute, hop

UPLINK, INSIDE, BRIDGE, TUNNEL = 2, 3, 4, 5


def route(text: str, *interfaces: int, nexthop_id: int = 0) -> bytes:
    """Return the rtmsg of a unicast route over interfaces, as the kernel writes it."""
    network = parse_network(text)
    family = socket.AF_INET if network.bits == 32 else socket.AF_INET6
    body = attribute(1, network.address) if network.prefix_length else b""
    if nexthop_id:
        body += attribute(30, struct.pack("=I", nexthop_id))
    elif len(interfaces) == 1:
        body += attribute(4, struct.pack("=I", interfaces[0]))
    else:
        body += attribute(9, b"".join(hop()[:4] + struct.pack("=i", one) for one in interfaces))
    return struct.pack("=BBBBBBBBI", family, network.prefix_length, 0, 0, 254, 3, 0, 1, 0) + body


def table(*messages: bytes) -> Routes:
    """Return the routes read from these messages."""
    found = Routes()
    for message in messages:
        found.add(message[1], message, 0, len(message))
    return found


def address(text: str, interface: int) -> InterfaceAddress:
    """Return an address on an interface, as `ip addr` shows it."""
    head, _, length = text.partition("/")
    return InterfaceAddress(parse_address(head), network_of(parse_address(head), int(length)), interface)


def link(index: int, kind: str = "", bridge: int = 0) -> bytes:
    """Return the ifinfomsg of an interface."""
    body = attribute(18, attribute(1, kind.encode() + b"\0")) if kind else b""
    body += attribute(10, struct.pack("=I", bridge)) if bridge else b""
    return struct.pack("=BBHiII", 0, 0, 1, index, 0, 0) + body


def found(addresses: list[InterfaceAddress], routes: Routes, bridges: frozenset[int] = frozenset()) -> NodeNetworks:
    """Return the networks, which must need no notice."""
    networks, notices = find_networks(addresses, routes, {}, bridges)
    assert notices == []
    return networks


def texts(networks: tuple[object, ...]) -> list[str]:
    """Write networks."""
    return [str(network) for network in networks]


SERVER = [address("203.0.113.5/24", UPLINK), address("127.0.0.1/8", 1), address("fe80::1/64", UPLINK)]
DEFAULT = route("0.0.0.0/0", UPLINK)


@pytest.mark.parametrize(
    ("addresses", "messages", "behind"),
    [
        pytest.param([], [DEFAULT], [], id="server"),
        pytest.param([address("172.17.0.1/16", BRIDGE)], [DEFAULT], ["172.17.0.0/16"], id="docker"),
        pytest.param([], [DEFAULT, route("10.244.3.7", INSIDE)], ["10.244.3.7"], id="calico pod"),
        pytest.param([], [DEFAULT, route("10.244.8.0/26", UPLINK)], [], id="pods of another node"),
        pytest.param([address("10.0.0.1/24", INSIDE)], [DEFAULT], ["10.0.0.0/24"], id="router with a LAN"),
        pytest.param(
            [address("10.9.0.1/24", TUNNEL)],
            [DEFAULT, route("192.168.7.0/24", TUNNEL)],
            ["10.9.0.0/24", "192.168.7.0/24"],
            id="WireGuard peers",
        ),
        pytest.param(
            [address("10.9.0.1/24", TUNNEL)], [DEFAULT, route("0.0.0.0/0", TUNNEL)], [], id="everything over WireGuard"
        ),
        pytest.param(
            [address("10.8.0.6/24", TUNNEL)],
            [DEFAULT, route("0.0.0.0/1", TUNNEL), route("128.0.0.0/1", TUNNEL)],
            [],
            id="OpenVPN redirect-gateway def1",
        ),
        pytest.param([address("fd01::1/64", INSIDE)], [DEFAULT, route("2000::/3", INSIDE)], [], id="IPv6 by 2000::/3"),
        pytest.param([], [DEFAULT, route("fd00::/8", TUNNEL)], ["fd00::/8"], id="all unique local addresses"),
        pytest.param([], [DEFAULT, route("224.0.0.0/4", INSIDE), route("ff00::/8", INSIDE)], [], id="multicast"),
        pytest.param([], [DEFAULT, route("2002::/16", TUNNEL), route("64:ff9b::/96", TUNNEL)], [], id="6to4, NAT64"),
        pytest.param([address("169.254.9.1/16", INSIDE)], [DEFAULT, route("fe80::/64", INSIDE)], [], id="link-local"),
        pytest.param([address("198.51.100.9/32", INSIDE)], [DEFAULT], [], id="a virtual address of our own"),
        pytest.param([address("10.5.5.1/24", 1)], [DEFAULT, route("10.6.0.0/16", 1)], [], id="on loopback"),
        pytest.param([], [DEFAULT, route("10.0.0.0/8", INSIDE, UPLINK)], [], id="multipath by the uplink too"),
        pytest.param([], [DEFAULT, route("10.0.0.0/8", INSIDE, BRIDGE)], ["10.0.0.0/8"], id="multipath inside"),
        pytest.param([address("172.17.0.1/16", BRIDGE)], [], ["172.17.0.0/16"], id="no default route"),
        pytest.param([address("10.0.0.1/24", INSIDE)], [route("10.7.0.0/16", INSIDE)], [], id="no default, no bridge"),
        pytest.param([], [route("0.0.0.0/0", UPLINK, INSIDE), route("10.7.0.0/16", INSIDE)], [], id="two uplinks"),
    ],
)
def test_networks_behind_the_node(addresses: list[InterfaceAddress], messages: list[bytes], behind: list[str]) -> None:
    """What is reached by interfaces other than the uplinks, on each kind of node."""
    networks = found([*SERVER, *addresses], table(*messages), frozenset({BRIDGE}))
    assert texts(networks.behind) == behind
    assert parse_address("203.0.113.9") in Networks(networks.connected)
    assert parse_network("203.0.113.0/24") in networks.uplink


def test_a_longer_route_by_the_uplink_is_a_hole() -> None:
    """10.0.0.0/8 lies behind an inner gateway, but 10.1.0.0/16 is reached by the uplink."""
    networks = found(SERVER, table(DEFAULT, route("10.0.0.0/8", INSIDE), route("10.1.0.0/16", UPLINK)))
    behind = Networks(networks.behind, networks.elsewhere)
    assert parse_address("10.2.0.1") in behind
    assert parse_address("10.1.0.1") not in behind


@pytest.mark.parametrize("count", [module.MAX_ROUTES + 1, module._MAX_DECODED + 1])
def test_too_many_routes_leave_connected_networks(count: int) -> None:
    """With a full BGP table only what is connected counts, and a notice says so."""
    many = [route(f"20.{n >> 8}.{n & 255}.0/24", INSIDE) for n in range(count)]
    networks, notices = find_networks([*SERVER, address("10.0.0.1/24", INSIDE)], table(DEFAULT, *many), {}, ())
    assert texts(networks.behind) == ["10.0.0.0/24"]
    assert notices == [module.TOO_MANY_ROUTES]


def test_an_uplink_is_found_among_too_many_routes() -> None:
    """Routes to half of the internet count wherever they are in the table."""
    many = [route(f"20.{n >> 8}.{n & 255}.0/24", UPLINK) for n in range(module._MAX_DECODED)]
    routes = table(*many, route("128.0.0.0/1", TUNNEL), DEFAULT)
    networks, _ = find_networks([*SERVER, address("10.8.0.6/24", TUNNEL)], routes, {}, ())
    assert networks.behind == ()


def test_nexthop_objects_are_followed() -> None:
    """Default routes and others by objects and groups of objects, with a group that names itself."""
    objects = {
        1: nexthop(bytes(8) + attribute(5, struct.pack("=I", UPLINK))),
        2: nexthop(bytes(8) + attribute(5, struct.pack("=I", INSIDE))),
        9: Hops([], [], [1, 9]),
    }
    routes = table(route("0.0.0.0/0", nexthop_id=9), route("10.0.0.0/8", nexthop_id=2), route("10.1.0.0/16"))
    assert set(routes.nexthops()) == {9, 2}
    networks, _ = find_networks(SERVER, routes, objects, ())
    assert texts(networks.behind) == ["10.0.0.0/8"]


def test_a_route_by_an_unknown_nexthop_object_is_not_behind() -> None:
    """An object that was deleted meanwhile, or one of too many, says nothing."""
    networks, _ = find_networks(SERVER, table(DEFAULT, route("10.0.0.0/8", nexthop_id=2)), {}, ())
    assert networks.behind == ()


def test_bridges_with_a_physical_port_lead_elsewhere() -> None:
    """docker0 without ports and with containers, and a bridge of virtual machines; not the bridge of the uplink."""
    links = [
        *(link(1), link(2, bridge=10), link(10, "bridge"), link(11, "bridge"), link(12, "bridge"), link(13, "bridge")),
        *(link(20, "veth", 11), link(21, "tun", 12), link(22, "veth", 10), link(23, "vlan", 13), link(24, "veth")),
    ]
    assert container_bridges(links) == {11, 12}


@given(st.lists(st.tuples(st.integers(0, 32), st.integers(0, 2**32 - 1), st.integers(1, 5)), max_size=12))
def test_no_address_is_behind_that_an_uplink_reaches(routes: list[tuple[int, int, int]]) -> None:
    """For any routes: an address that counts as behind has no route by an uplink of the same or a greater length."""
    networks = [(network_of(number.to_bytes(4), length), interface) for length, number, interface in routes]
    messages = [route(f"{format_address(one.address)}/{one.prefix_length}", interface) for one, interface in networks]
    known = found(SERVER, table(DEFAULT, *messages))
    behind = Networks(known.behind, known.elsewhere)
    for network, _ in networks:
        matching = [(one.prefix_length, interface) for one, interface in networks if one.contains(network.address)]
        longest = max(length for length, _ in matching)
        if network.address in behind:
            assert UPLINK not in {interface for length, interface in matching if length == longest}
