"""Addresses and networks."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import (
    Network,
    collapse,
    format_address,
    host,
    network_of,
    parse_address,
    parse_network,
)

addresses = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
networks = st.builds(
    lambda address, length: network_of(address, length % (len(address) * 8 + 1)), addresses, st.integers(0, 128)
)


def standard(network: Network) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Say the same in the standard library's words."""
    return ipaddress.ip_network(f"{format_address(network.address)}/{network.prefix_length}")


def test_mapped_addresses_are_folded() -> None:
    """One host has one name: ::ffff:192.0.2.1 is 192.0.2.1, as an address and as a network."""
    assert parse_address("::ffff:192.0.2.1") == parse_address("192.0.2.1")
    for text in ("::ffff:192.0.2.0/120", "::ffff:c000:200/120", "0:0:0:0:0:ffff:c000:200/120"):
        assert str(parse_network(text)) == "192.0.2.0/24"
    assert str(parse_network(str(ipaddress.ip_network("::ffff:192.0.2.7/128")))) == "192.0.2.7"


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "01.2.3.4", "1.2.3.4 ", "fe80::1%eth0", "example.org", "1.2.3.4/32", "::g", "1.2.3.4\0"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Names, zones, leading zeros and prefixes are not addresses."""
    with pytest.raises(ValueError, match="not an IP address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.1/24", "did you mean 192.0.2.0/24"),
        ("192.0.2.0/33", "between 0 and 32"),
        ("192.0.2.0/", "not a network"),
        ("192.0.2.0/255.255.255.0", "not a network"),
        ("192.0.2.0/٣", "not a network"),
        ("::ffff:192.0.2.0/24", "between 0 and 32"),
    ],
)
def test_what_is_no_network_is_refused_with_a_hint(text: str, says: str) -> None:
    """Set host bits, bad lengths and netmasks are refused with what was meant."""
    with pytest.raises(ValueError, match=says):
        parse_network(text)


@given(networks)
def test_notation_round_trips(network: Network) -> None:
    """What a network writes reads as the same network; mapped ones fold first."""
    if network.address.startswith(bytes(10) + b"\xff\xff") and network.prefix_length >= 96:
        assert parse_network(str(network)).bits == 32
    else:
        assert parse_network(str(network)) == network


@given(networks, networks)
def test_containment_agrees_with_the_standard_library(one: Network, other: Network) -> None:
    """`contains`, `overlaps` and `last` say what ipaddress says."""
    if one.bits == other.bits:
        assert one.overlaps(other) == standard(one).overlaps(standard(other))
        assert one.contains(other.address) == (ipaddress.ip_address(other.address) in standard(one))
    else:
        assert not one.overlaps(other)
    assert one.last() == standard(one).broadcast_address.packed


@given(st.lists(networks, max_size=12))
def test_collapse_agrees_with_the_standard_library(some: list[Network]) -> None:
    """Collapsing gives the fewest disjoint networks, of both families."""
    four = ipaddress.collapse_addresses(n for n in map(standard, some) if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in map(standard, some) if isinstance(n, ipaddress.IPv6Network))
    assert [standard(network) for network in collapse(some)] == [*four, *six]


def test_a_host_is_written_without_length() -> None:
    """A single address reads as people write it."""
    assert str(host(parse_address("2001:db8::1"))) == "2001:db8::1"
