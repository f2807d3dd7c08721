"""A set of networks answers as its members would one by one."""

from collections.abc import Container

from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import Address, Network, network_of, parse_address, parse_network
from monitor.model.networks import Networks, Surrounding


def addresses(size: int) -> st.SearchStrategy[Address]:
    """Return addresses of few different bytes, so that they meet."""
    return st.lists(st.sampled_from([0, 1, 0x80, 0xFF]), min_size=size, max_size=size).map(bytes)


ADDRESSES = addresses(4) | addresses(16)
NETWORKS = ADDRESSES.flatmap(
    lambda address: st.integers(0, len(address) * 8).map(lambda length: network_of(address, length))
)


@given(st.lists(NETWORKS, max_size=8), st.lists(ADDRESSES, min_size=1, max_size=8))
def test_it_is_its_members(networks: list[Network], asked: list[Address]) -> None:
    """An address is in the set if one of the networks contains it; the edges of each are asked for as well."""
    known = Networks(networks)
    for address in [*asked, *(network.address for network in networks), *(network.last() for network in networks)]:
        assert (address in known) is any(network.contains(address) for network in networks)


@given(st.lists(NETWORKS, max_size=6), st.lists(NETWORKS, max_size=6), st.lists(ADDRESSES, min_size=1, max_size=8))
def test_the_longest_prefix_decides(networks: list[Network], holes: list[Network], asked: list[Address]) -> None:
    """As for routes: of the networks and holes that contain an address, the longest counts, and a hole if equal."""
    known = Networks(networks, holes)
    for address in [*asked, *(network.address for network in (*networks, *holes))]:
        longest = max((one.prefix_length for one in networks if one.contains(address)), default=-1)
        hole = max((one.prefix_length for one in holes if one.contains(address)), default=-1)
        assert (address in known) is (longest > hole)


def test_families_do_not_meet() -> None:
    """All of IPv4 holds no address of IPv6, and the other way round."""
    four, six = parse_address("192.0.2.1"), parse_address("c000:201::")
    for text, own, other in (("0.0.0.0/0", four, six), ("::/0", six, four)):
        known = Networks([parse_network(text)])
        assert own in known
        assert other not in known


def test_it_takes_what_can_be_read_only_once() -> None:
    """The networks may come from a generator, as from the allowlist's entries."""
    known = Networks(parse_network(text) for text in ("192.0.2.0/24", "2001:db8::/32"))
    assert parse_address("192.0.2.255") in known
    assert parse_address("2001:db8:ffff::1") in known
    assert parse_address("192.0.3.0") not in known


def everywhere(surrounding: Surrounding) -> list[Container[Address]]:
    """Return all that a surrounding says of addresses."""
    return [getattr(surrounding, name) for name in ("own", "pods", "protected", "connected", "behind", "internal")]


def test_at_first_nobody_is_anywhere() -> None:
    """Before a detector is told who is where, it takes everybody for a stranger."""
    nowhere, address = Surrounding(), parse_address("192.0.2.1")
    assert not any(address in places for places in everywhere(nowhere))


@given(st.lists(NETWORKS, max_size=6), st.lists(NETWORKS, max_size=6), st.lists(ADDRESSES, max_size=8))
def test_many_are_looked_up_as_each_is(networks: list[Network], holes: list[Network], asked: list[Address]) -> None:
    """The addresses inside are those that are in the set one by one."""
    known = Networks(networks, holes)
    asked += [network.last() for network in (*networks, *holes)]
    assert known.inside(asked) == {address for address in asked if address in known}
