"""Decoders of rtnetlink answers; what they are fed here is written as the kernel writes it."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from monitor.node.addresses import (
    nexthop_gateways,
    own_address,
    parse_resolvers,
    route_gateways,
    split_attributes,
    split_messages,
)

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
    assert own_address(bytes(8) + attribute(1, other) + attribute(2, V4)) == V4
    assert own_address(bytes(8) + attribute(1, V6)) == V6
    assert own_address(bytes(8)) is None


def test_every_kind_of_gateway_is_found() -> None:
    """Plain, IPv4 through IPv6 (RTA_VIA), and each hop of a multipath route."""
    via = attribute(18, struct.pack("=H", 10) + V6)
    assert route_gateways(bytes(12) + attribute(5, V4)) == ([V4], [])
    assert route_gateways(bytes(12) + via) == ([V6], [])
    hops = hop(attribute(5, V4)) + hop() + hop(via)
    assert route_gateways(bytes(12) + attribute(9, hops)) == ([V4, V6], [])


def test_a_nexthop_object_is_named_where_the_route_tells_no_gateway() -> None:
    """With a gateway in the route itself, the object needs no question of its own."""
    identity = attribute(30, struct.pack("=I", 17))
    assert route_gateways(bytes(12) + identity) == ([], [17])
    assert route_gateways(bytes(12) + identity + attribute(5, V4)) == ([V4], [])


def test_nexthop_objects_tell_gateway_or_members() -> None:
    """A single object has a gateway, a group the ids of its members."""
    assert nexthop_gateways(bytes(8) + attribute(6, V6)) == ([V6], [])
    group = struct.pack("=IBBH", 17, 0, 0, 0) + struct.pack("=IBBH", 18, 0, 0, 0)
    assert nexthop_gateways(bytes(8) + attribute(2, group)) == ([], [17, 18])


def test_an_unspecified_gateway_is_none() -> None:
    """0.0.0.0 is how tunnels say that there is no gateway."""
    assert route_gateways(bytes(12) + attribute(5, bytes(4))) == ([], [])


def test_mapped_addresses_are_folded() -> None:
    """One gateway does not have two names."""
    mapped = bytes(10) + b"\xff\xff" + V4
    assert route_gateways(bytes(12) + attribute(5, mapped)) == ([V4], [])


ATTRIBUTES = st.lists(st.builds(attribute, st.integers(0, 40), st.binary(max_size=40))).map(b"".join)


@given(st.binary(max_size=300) | st.builds(lambda head, rest: head + rest, st.binary(max_size=16), ATTRIBUTES))
def test_arbitrary_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    """Whatever arrives, decoders return addresses of 4 or 16 bytes or raise MalformedRecord."""
    for decode in (route_gateways, nexthop_gateways):
        with contextlib.suppress(MalformedRecord):
            gateways, identities = decode(data)
            assert all(len(gateway) in (4, 16) for gateway in gateways)
            assert all(0 <= identity < 1 << 320 for identity in identities)
    with contextlib.suppress(MalformedRecord):
        assert len(own_address(data) or b"1234") in (4, 16)
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
