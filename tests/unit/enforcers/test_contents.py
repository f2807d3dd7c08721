"""Comparing prefixes of a set with bans: only what is banned until when matters, not how it is divided."""

import hypothesis.strategies as st
from hypothesis import given

from monitor.enforcers.nftables.contents import Found, compare_prefixes, ends_alike, union
from monitor.enforcers.nftables.prefixes import pieces
from monitor.model.addresses import Network, host, network_between, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import Ban

NOW_S = 1000.0
networks = st.builds(network_of, st.binary(min_size=1, max_size=1).map(b"\xc6\x33\x64".__add__), st.integers(25, 31))
ends = st.sampled_from([1100.0, 2000.0, 9000.0])
all_bans = st.dictionaries(networks, ends, max_size=8)


def _bans(until: dict[Network, float]) -> list[Ban]:
    return [Ban(network, Strength.PROVEN, 0.0, end_s, "test", "test") for network, end_s in until.items()]


def _found(held: dict[Network, float]) -> list[Found]:
    return sorted((network.address, network.last(), end_s) for network, end_s in held.items())


def _by_address(until: dict[Network, float]) -> dict[int, float]:
    """Return when each of the 256 addresses is free again, the naive way."""
    ends_s: dict[int, float] = {}
    for network, end_s in until.items():
        for last in range(network.address[-1], network.last()[-1] + 1):
            ends_s[last] = max(end_s, ends_s.get(last, 0.0))
    return ends_s


@given(all_bans)
def test_the_pieces_of_bans_are_as_they_should_be(until: dict[Network, float]) -> None:
    """However bans overlap, the pieces that enforce them are complete and explained; so are single addresses."""
    assert compare_prefixes(_bans(until), _found(pieces(until)), NOW_S) == ([], [])
    every = {host(b"\xc6\x33\x64" + bytes([last])): end_s for last, end_s in _by_address(until).items()}
    assert compare_prefixes(_bans(until), _found(every), NOW_S) == ([], [])


@given(all_bans, all_bans)
def test_what_differs_for_any_address_is_found(wanted: dict[Network, float], held: dict[Network, float]) -> None:
    """A ban is wrong where an address is free too early; an interval is foreign where one is banned for too long."""
    wrong, strangers = compare_prefixes(_bans(wanted), _found(pieces(held)), NOW_S)
    due, in_force = _by_address(wanted), _by_address(held)
    early = {last for last, end_s in due.items() if in_force.get(last, 0.0) < end_s}
    late = {last for last, end_s in in_force.items() if due.get(last, 0.0) < end_s}
    assert all(_shares_a_piece(ban.network, wanted, early) for ban in wrong)
    covered = {last for ban in wrong for last in range(ban.network.address[-1], ban.network.last()[-1] + 1)}
    assert early <= covered
    foreign = {last for first, end, _ in strangers for last in range(first[-1], end[-1] + 1)}
    assert late <= foreign
    assert bool(foreign) == bool(late)


def _shares_a_piece(network: Network, wanted: dict[Network, float], early: set[int]) -> bool:
    """Whether a piece with an address of this network has one that is free too early."""
    for piece in pieces(wanted):
        if piece.overlaps(network) and early & set(range(piece.address[-1], piece.last()[-1] + 1)):
            return True
    return False


@given(all_bans)
def test_allowed_addresses_are_the_same_however_they_are_divided(until: dict[Network, float]) -> None:
    """The union of ranges and that of their single addresses are one."""
    ranges = [(network.address, network.last()) for network in until]
    singles = [(b"\xc6\x33\x64" + bytes([last]),) * 2 for last in _by_address(until)]
    assert union(ranges) == union(singles)


@given(networks)
def test_a_range_is_a_network_only_if_it_is_one(network: Network) -> None:
    """The network between its first and last address is itself; one address less is none, or a smaller one."""
    assert network_between(network.address, network.last()) == network
    shorter = network_between(network.address, network.last()[:-1] + bytes([network.last()[-1] - 1]))
    assert shorter is None or (network.prefix_length == 31 and shorter.is_host)


def test_ends_are_alike_up_to_rounding() -> None:
    """Seconds do not matter, nor a hundredth of the time; never is like a ban of a hundred years."""
    assert ends_alike(NOW_S + 100, NOW_S + 104, NOW_S)
    assert not ends_alike(NOW_S + 100, NOW_S + 110, NOW_S)
    assert ends_alike(NOW_S + 100_000, NOW_S + 100_900, NOW_S)
    assert not ends_alike(None, NOW_S + 100_000, NOW_S)
    assert ends_alike(None, NOW_S + 100 * 365 * 86400.0, NOW_S)
