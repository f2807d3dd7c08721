"""What is never banned."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given

from monitor.bans.allowlist import BY_COMMAND, CONFIGURED, IGNORED, NODE, PROVIDERS, admit
from monitor.bans.guard import ALWAYS, Guard
from monitor.model.addresses import Network, collapse, host, network_of, parse_network
from monitor.model.bans import MAX_ALLOWED, MAX_ALLOWED_CONFIGURED, MAX_ALLOWED_NODE, AllowEntry
from monitor.settings.bans import Bans
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


def naive(entries: list[AllowEntry], wanted: Network) -> set[Network]:
    """Return the allowed networks that overlap another, by a walk over all of them."""
    return {entry.network for entry in entries if entry.network.overlaps(wanted)}


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_bisection_agrees_with_a_walk(count: int) -> None:
    """Many random queries, most of them near an entry: the same answer, and an entry that really overlaps."""
    random = Random(count)
    entries = [AllowEntry(somewhere(random), str(n)) for n in range(count)]
    one = Guard(entries)
    for _ in range(1700):
        wanted = somewhere(random)
        found, expected = one.protects(wanted), naive(one.entries, wanted)
        assert found.network in expected if found else not expected
        assert one.shields(wanted.address) == (one.protects(host(wanted.address)) is not None)
        assert all(any(known.contains(part.address) for known in one.networks()) for part in expected)


def somewhere(random: Random) -> Network:
    """Return a network of any length, in a few dense places of both families."""
    if random.random() < 0.5:
        address, length = (
            random.choice((b"\x0a\1", b"\x0a\2", b"\xc6\x33")) + random.randbytes(2),
            random.randint(8, 32),
        )
    else:
        address, length = b"\x20\1\x0d\xb8" + bytes(10) + random.randbytes(2), random.randint(16, 128)
    return network_of(address, length)


@pytest.mark.parametrize("provider", [BY_COMMAND, NODE, IGNORED])
def test_an_allowlist_is_cut_where_it_is_full_and_says_so(provider: str) -> None:
    """What one provider has too much of is left out and counted; entries of the others stay."""
    few = {name: [AllowEntry(numbered(900_000 + n), name)] for n, name in enumerate(PROVIDERS) if name != provider}
    kept, omitted = admit(few | {provider: [AllowEntry(numbered(2 * n), provider) for n in range(20_000)]})
    counts = Counter(entry.reason for entry in kept)
    stronger = {name: 1 for name in PROVIDERS if name != provider and not (name == IGNORED and provider == BY_COMMAND)}
    assert counts == stronger | {provider: MAX_ALLOWED_NODE if provider == NODE else MAX_ALLOWED - len(stronger)}
    assert omitted[provider] == 20_000 - counts[provider]


def test_the_bound_counts_merged_networks() -> None:
    """A /16 in single addresses is one network: nothing has to stay out."""
    configured = [AllowEntry(numbered(n), "bans.allowlist") for n in range(50_000)]
    by_command = [AllowEntry(numbered(100_000 + n), "added") for n in range(20_000)]
    kept, omitted = admit({CONFIGURED: configured, BY_COMMAND: by_command})
    assert omitted == {}
    assert len(kept) == 20_000 + len(collapse([entry.network for entry in configured]))
    assert Guard(kept).protects(numbered(49_999)) is not None


def numbered(number: int) -> Network:
    """Return an address."""
    return host((0x0B000000 + number).to_bytes(4))


def test_the_configuration_refuses_more_than_fit() -> None:
    """At the bound it is accepted; one more is a fault; what merges does not count."""
    apart = tuple(numbered(2 * n) for n in range(MAX_ALLOWED_CONFIGURED + 1))
    assert list(Bans(allowlist=apart[1:]).conflicts()) == []
    assert list(Bans(allowlist=tuple(numbered(n) for n in range(40_000))).conflicts()) == []
    (conflict,) = Bans(allowlist=apart).conflicts()
    assert (conflict.keys, "are too many" in conflict.text) == (("allowlist",), True)
