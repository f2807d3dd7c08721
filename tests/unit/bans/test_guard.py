"""What is never banned."""

import pytest
from hypothesis import given

from monitor.bans.guard import ALWAYS, Guard
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import AllowEntry
from tests.unit.model.test_addresses import networks


def guard(*allowed: str) -> Guard:
    """Return a guard of these networks."""
    return Guard([AllowEntry(parse_network(text), f"because of {text}") for text in allowed])


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0", "127.0.0.53", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "ff02::1"],
)
def test_some_addresses_are_never_banned(text: str) -> None:
    """Unspecified, loopback, link-local, multicast and broadcast are protected without configuration."""
    assert guard().protects(parse_network(text)) in ALWAYS


def test_an_address_inside_an_allowed_network_is_protected() -> None:
    """The entry found explains itself; a neighbour outside is not protected."""
    entry = guard("10.1.0.0/16", "2001:db8::/32").protects(parse_network("10.1.2.3"))
    assert entry is not None
    assert entry.reason == "because of 10.1.0.0/16"
    assert guard("10.1.0.0/16").protects(parse_network("10.2.0.1")) is None


def test_a_prefix_around_an_allowed_address_is_refused() -> None:
    """Banning 10.0.0.0/8 or everything would ban the allowed host inside."""
    assert guard("10.1.2.3").protects(parse_network("10.0.0.0/8")) is not None
    assert guard().protects(parse_network("0.0.0.0/0")) is not None
    assert guard().protects(parse_network("::/0")) is not None


def test_of_two_entries_the_first_explains() -> None:
    """What the operator configured is named before what was found by itself."""
    network = parse_network("192.0.2.1")
    both = Guard([AllowEntry(network, "configured"), AllowEntry(network, "found")])
    entry = both.protects(network)
    assert entry is not None
    assert entry.reason == "configured"
    assert len(both.entries) == len(ALWAYS) + 1


@given(networks, networks)
def test_protects_exactly_what_overlaps(allowed: Network, wanted: Network) -> None:
    """For any pair of networks the guard agrees with `overlaps`."""
    one = Guard([AllowEntry(allowed, "x")])
    expected = wanted.overlaps(allowed) or any(wanted.overlaps(entry.network) for entry in ALWAYS)
    assert (one.protects(wanted) is not None) == expected
