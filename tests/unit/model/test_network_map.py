"""Values by network: the most specific network decides, as a walk over all of them would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.addresses import Address, Network, host, network_of, parse_address, parse_network
from monitor.model.network_map import NetworkMap

_EDGES = st.sampled_from([0, 1, 2, 126, 127, 128, 254, 255])


@st.composite
def _networks(draw: st.DrawFn) -> Network:
    """Networks that nest and touch each other, at the ends of the address space too."""
    size = draw(st.sampled_from([4, 16]))
    ends = bytes([draw(_EDGES)]) + bytes([draw(st.sampled_from([0, 255]))]) * (size - 2) + bytes([draw(_EDGES)])
    length = draw(st.sampled_from([0, 1, 7, 8, 8 * size - 8, 8 * size - 1, 8 * size]))
    return network_of(ends, length)


def _naive(entries: dict[Network, int], address: Address) -> tuple[Network, int] | None:
    around = [one for one in entries if one.contains(address)]
    best = max(around, key=lambda one: one.prefix_length, default=None)
    return None if best is None else (best, entries[best])


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(_networks(), st.integers(), max_size=12), st.lists(_networks(), min_size=1, max_size=12))
def test_the_most_specific_network_decides(entries: dict[Network, int], asked: list[Network]) -> None:
    """For addresses at both ends of any network, inside and outside of those that are known."""
    known = NetworkMap(entries)
    for network in (*asked, *entries):
        for address in (network.address, network.last()):
            assert known.get(address) == _naive(entries, address)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(_networks(), st.integers(), max_size=12), _networks())
def test_what_meets_a_network_is_what_its_addresses_find(entries: dict[Network, int], asked: Network) -> None:
    """The ends of all known networks inside, and the addresses beside them, find everything there is to find."""
    known = NetworkMap(entries)
    size = len(asked.address)
    near = {asked.address, asked.last()}
    for one in entries:
        if len(one.address) == size:
            first, last = int.from_bytes(one.address), int.from_bytes(one.last())
            near |= {n.to_bytes(size) for n in (first - 1, first, last, last + 1) if 0 <= n < 1 << 8 * size}
    expected = [_naive(entries, address) for address in near if asked.contains(address)]
    found = known.meeting(asked)
    assert all(one in found for one in expected)
    assert all(one in expected for one in found)


def test_equal_content_is_equal() -> None:
    """A reload can tell whether anything changed."""
    network = parse_network("10.0.0.0/8")
    assert NetworkMap({network: 1}) == NetworkMap({network: 1}) != NetworkMap({network: 2})
    assert NetworkMap({host(parse_address("10.0.0.1")): 1}).get(parse_address("10.0.0.2")) is None
