"""Decoders of rtnetlink answers; what they are fed here is written as the kernel writes it."""

import contextlib
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import parse_address, parse_network
from monitor.model.errors import MalformedRecord
from monitor.node.addresses import parse_resolvers
from monitor.node.netlink_messages import split_attributes, split_messages
from monitor.node.routes import InterfaceAddress, container_bridges, interface_address, route_hops, route_network
from monitor.node.rtnetlink import Hops, nexthop

V4, V6 = parse_address("192.0.2.1"), parse_address("2001:db8::1")


def attribute(kind: int, value: bytes) -> bytes:
    """Return one rtattr, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind: int, sequence: int, payload: bytes) -> bytes:
    """Return one netlink message, padded."""
    return struct.pack("=IHHII", 16 + len(payload), kind, 2, sequence, 0) + payload + bytes(-len(payload) % 4)


def hop(*attributes: bytes) -> bytes:
    """Return one rtnexthop."""
    body = b"".join(attributes)
    return struct.pack("=HBBi", 8 + len(body), 0, 0, 2) + body


def test_messages_are_split() -> None:
    """Two messages of one read are told apart, the first padded to four bytes."""
    data = message(20, 7, b"abc") + message(3, 7, b"defg")
    assert [(kind, sequence, data[start:end]) for kind, sequence, start, end in split_messages(data)] == [
        (20, 7, b"abc"),
        (3, 7, b"defg"),
    ]


@pytest.mark.parametrize("data", [b"x", bytes(16), message(20, 1, b"abcd")[:-1], struct.pack("=IHHII", 15, 1, 1, 1, 1)])
def test_broken_messages_are_malformed(data: bytes) -> None:
    """Cut off, of no length, longer than what was read: refused."""
    with pytest.raises(MalformedRecord):
        list(split_messages(data))


@pytest.mark.parametrize("data", [struct.pack("=HH", 3, 1), struct.pack("=HH", 9, 1) + bytes(4)])
def test_broken_attributes_are_malformed(data: bytes) -> None:
    """Shorter than their own header or longer than their message: refused."""
    with pytest.raises(MalformedRecord):
        split_attributes(data)


def test_the_nested_flag_is_no_part_of_the_type() -> None:
    """NLA_F_NESTED and NLA_F_NET_BYTEORDER do not change what an attribute is."""
    assert split_attributes(attribute(0x8000 | 9, b"abcd")) == {9: b"abcd"}


def test_the_local_address_is_ours() -> None:
    """On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours; IPv6 often has IFA_ADDRESS only."""
    other = parse_address("192.0.2.99")
    header = struct.pack("=BBBBI", 2, 24, 0, 0, 7)
    found = interface_address(header + attribute(1, other) + attribute(2, V4))
    assert found == InterfaceAddress(V4, parse_network("192.0.2.0/24"), 7)
    found = interface_address(struct.pack("=BBBBI", 2, 32, 0, 0, 7) + attribute(1, other) + attribute(2, V4))
    assert found == InterfaceAddress(V4, parse_network("192.0.2.99"), 7)
    found = interface_address(struct.pack("=BBBBI", 10, 64, 0, 0, 9) + attribute(1, V6))
    assert found == InterfaceAddress(V6, parse_network("2001:db8::/64"), 9)
    assert interface_address(bytes(8)) is None


def test_every_kind_of_gateway_is_found() -> None:
    """Plain, IPv4 through IPv6 (RTA_VIA), and each hop of a multipath route, with its interface."""
    via = attribute(18, struct.pack("=H", 10) + V6)
    assert route_hops(bytes(12) + attribute(5, V4)) == Hops([V4], [], [])
    assert route_hops(bytes(12) + via + attribute(4, struct.pack("=I", 3))) == Hops([V6], [3], [])
    hops = hop(attribute(5, V4)) + hop() + hop(via)
    assert route_hops(bytes(12) + attribute(9, hops)) == Hops([V4, V6], [2, 2, 2], [])


def test_a_nexthop_object_is_named_where_the_route_has_no_hop() -> None:
    """With a gateway or an interface in the route itself, the object needs no question of its own."""
    identity = attribute(30, struct.pack("=I", 17))
    assert route_hops(bytes(12) + identity) == Hops([], [], [17])
    assert route_hops(bytes(12) + identity + attribute(5, V4)) == Hops([V4], [], [])
    assert route_hops(bytes(12) + identity + attribute(4, struct.pack("=I", 3))) == Hops([], [3], [])


def test_nexthop_objects_have_a_hop_or_members() -> None:
    """A single object has gateway and interface, a group the IDs of its members."""
    assert nexthop(bytes(8) + attribute(6, V6) + attribute(5, struct.pack("=I", 3))) == Hops([V6], [3], [])
    group = struct.pack("=IBBH", 17, 0, 0, 0) + struct.pack("=IBBH", 18, 0, 0, 0)
    assert nexthop(bytes(8) + attribute(2, group)) == Hops([], [], [17, 18])


def test_an_unspecified_gateway_is_none() -> None:
    """0.0.0.0 is how tunnels say that there is no gateway."""
    assert route_hops(bytes(12) + attribute(5, bytes(4))) == Hops([], [], [])


def test_mapped_addresses_are_folded() -> None:
    """One gateway does not have two names."""
    mapped = bytes(10) + b"\xff\xff" + V4
    assert route_hops(bytes(12) + attribute(5, mapped)).gateways == [V4]


ATTRIBUTES = st.lists(st.builds(attribute, st.integers(0, 40), st.binary(max_size=40))).map(b"".join)


@given(st.binary(max_size=300) | st.builds(lambda head, rest: head + rest, st.binary(max_size=16), ATTRIBUTES))
def test_arbitrary_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    """Whatever arrives, decoders return addresses of 4 or 16 bytes or raise MalformedRecord."""
    for decode in (route_hops, nexthop):
        with contextlib.suppress(MalformedRecord):
            hops = decode(data)
            assert all(len(gateway) in (4, 16) for gateway in hops.gateways)
            assert all(0 <= number < 1 << 320 for number in (*hops.interfaces, *hops.nexthops))
    with contextlib.suppress(MalformedRecord):
        found = interface_address(data)
        assert found is None or found.network.contains(found.network.address)
    with contextlib.suppress(MalformedRecord):
        route = route_network(data)
        assert route is None or route.contains(route.last())
    with contextlib.suppress(MalformedRecord):
        assert container_bridges([data]) <= {int.from_bytes(data[4:8], sys.byteorder)}
    with contextlib.suppress(MalformedRecord):
        assert all(0 <= start <= end <= len(data) for _, _, start, end in split_messages(data))


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), st.binary(max_size=30)), max_size=5))
def test_what_is_written_is_read(messages: list[tuple[int, int, bytes]]) -> None:
    """Splitting is the inverse of joining, for any messages."""
    data = b"".join(message(*one) for one in messages)
    assert [(kind, number, data[start:end]) for kind, number, start, end in split_messages(data)] == messages


@given(st.text())
def test_any_text_is_a_resolv_conf(text: str) -> None:
    """A damaged resolv.conf gives addresses or nothing, never an error."""
    assert all(len(address) in (4, 16) for address in parse_resolvers(text + "\nnameserver 192.0.2.1"))
