"""Overlapping prefix bans against the real interval sets."""

import contextlib
import random
import time
from collections.abc import Iterator

import pytest

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.prefixes import pieces
from monitor.enforcers.protocol import FailureCause
from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

PROVEN = Strength.PROVEN


def _ban(network: Network | str, until_s: float = 1000) -> Ban:
    if isinstance(network, str):
        network = parse_network(network)
    return Ban(network, PROVEN, since_s=0, until_s=until_s, detector="test", reason="test")


def _held(enforcer: NftablesEnforcer) -> dict[str, float]:
    """Return the pieces with their remaining time, to the hundred seconds."""
    return {str(e.network): round(e.timeout_s or 0, -2) for e in enforcer.elements()}


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file."""
    with Lab("node", label="prefixes") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def enforcer(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an enforcer whose table is there and empty."""
    enforcer = NftablesEnforcer(max_bans=1000)
    enforcer.flush()
    enforcer.setup([])
    yield enforcer
    enforcer.close()


def test_a_wider_and_a_narrower_ban_both_last_as_long_as_they_should(enforcer: NftablesEnforcer) -> None:
    """Neither shortens the other, in whichever order they come, and lifting one leaves the other whole."""
    wide, narrow = parse_network("10.0.0.0/8"), parse_network("10.64.0.0/10")
    assert enforcer.add([_ban(wide, 1000)], 0) == []
    assert enforcer.add([_ban(narrow, 5000)], 0) == []
    assert _held(enforcer) == {"10.0.0.0/10": 1000, "10.64.0.0/10": 5000, "10.128.0.0/9": 1000}
    enforcer.remove([(wide, PROVEN)])
    assert _held(enforcer) == {"10.64.0.0/10": 5000}
    assert enforcer.add([_ban(wide, 9000)], 0) == []
    assert _held(enforcer) == {"10.0.0.0/8": 9000}
    enforcer.remove([(wide, PROVEN)])
    assert _held(enforcer) == {"10.64.0.0/10": 5000}


def test_lookup_adds_up_the_pieces_of_a_ban(enforcer: NftablesEnforcer, node: Host) -> None:
    """A ban that fell apart answers with the sum of its counters, a covered one with what covers it."""
    enforcer.add([_ban("10.0.0.0/8", 1000), _ban("10.64.0.0/10", 5000), _ban("10.0.0.0/24", 100)], 0)
    for text, packets in (("10.128.0.0/9", 5), ("10.64.0.0/10", 7)):
        node.nft(
            f"delete element inet nodewarden ban4_nets {{ {text} }}\n"
            f"add element inet nodewarden ban4_nets {{ {text} counter packets {packets} bytes 60 timeout 900s }}\n"
        )
    element = enforcer.lookup(parse_network("10.0.0.0/8"), PROVEN)
    assert element is not None
    assert (element.network, element.packets, element.bytes) == (parse_network("10.0.0.0/8"), 12, 120)
    assert element.timeout_s == pytest.approx(900, abs=5)
    covered = enforcer.lookup(parse_network("10.0.0.0/24"), PROVEN)
    assert covered is not None
    assert covered.timeout_s == pytest.approx(1000, abs=5)
    assert enforcer.lookup(parse_network("10.0.1.0/24"), PROVEN) is None


@pytest.mark.parametrize(
    ("text", "name"), [("192.0.2.1", "ban4"), ("10.0.0.0/8", "ban4_nets"), ("ff00::/8", "ban6_nets")]
)
def test_a_longer_ban_goes_on_counting(enforcer: NftablesEnforcer, node: Host, text: str, name: str) -> None:
    """Refreshing keeps packets and bytes of addresses and of prefixes that stay as they are."""
    node.nft(f"add element inet nodewarden {name} {{ {text} counter packets 5 bytes 10 timeout 900s }}\n")
    assert enforcer.refresh([_ban(text, 5000)], 0) == []
    element = enforcer.lookup(parse_network(text), PROVEN)
    assert element is not None
    assert (element.packets, element.bytes) == (5, 10)
    assert element.timeout_s == pytest.approx(5000, abs=5)


@pytest.mark.parametrize("size", [4, 16])
def test_any_sequence_of_changes_ends_with_the_pieces_of_the_bans(enforcer: NftablesEnforcer, size: int) -> None:
    """Hundreds of random additions, extensions and removals, up to whole families: nothing fails, nothing is left."""
    chance = random.Random(size)
    bans: dict[Network, float] = {}
    for step in range(300):
        network = network_of(bytes([chance.randrange(256)]) + bytes(size - 1), chance.randrange(7))
        if bans and chance.random() < 0.35:
            network = chance.choice(list(bans))
            del bans[network]
            enforcer.remove([(network, PROVEN)])
        else:
            bans[network] = chance.randrange(1, 9) * 1000.0
            change = chance.choice([enforcer.add, enforcer.refresh])
            assert change([_ban(network, bans[network])], 0) == []
        if step % 10 == 0:
            assert _held(enforcer) == {str(n): end for n, end in pieces(bans).items()}
    enforcer.remove([(network, PROVEN) for network in bans])
    assert enforcer.elements() == []


def test_many_overlapping_prefixes_in_one_call(enforcer: NftablesEnforcer) -> None:
    """Clusters are apart from each other: one call brings in thousands, a wide ban swallows and releases them."""
    narrow = [_ban(network_of((0x0A000000 + n * 512).to_bytes(4), 24), 2000) for n in range(3000)]
    wide = _ban("10.0.0.0/8", 9000)
    assert enforcer.add(narrow, 0) == []
    assert len(enforcer.elements()) == 3000
    assert enforcer.add([wide], 0) == []
    assert _held(enforcer) == {"10.0.0.0/8": 9000}
    enforcer.remove([(wide.network, PROVEN)])
    assert len(enforcer.elements()) == 3000


def test_many_at_once_are_added_although_one_of_them_is_in_the_way(enforcer: NftablesEnforcer, node: Host) -> None:
    """One of a thousand prefixes overlaps an element of another program: all are in force for as long as asked."""
    enforcer.add([_ban("192.0.2.0/24")], 0)  # so that the set is known, without what follows
    node.nft("add element inet nodewarden ban4_nets { 10.4.0.0/25 timeout 9000s }\n")
    many = [_ban(network_of((0x0A000000 + n * 512).to_bytes(4), 24), 2000) for n in range(1000)]
    many += [_ban("255.255.0.0/16", 2000)]
    assert enforcer.add(many, 0) == []
    held = _held(enforcer)
    assert (held.pop("10.4.0.0/25"), held.pop("10.4.0.128/25"), held.pop("192.0.2.0/24")) == (9000, 2000, 1000)
    assert held == {str(ban.network): 2000 for ban in many if str(ban.network) != "10.4.0.0/24"}
    enforcer.remove([(ban.network, PROVEN) for ban in many])
    assert _held(enforcer) == {"10.4.0.0/25": 9000, "192.0.2.0/24": 1000}


def test_a_restart_with_many_changes_none_of_them(enforcer: NftablesEnforcer) -> None:
    """A new instance that is given the bans again leaves their elements as they are, and can lift them."""
    bans = [_ban(network_of((0x0A000000 + n * 512).to_bytes(4), 24), 1000 + n) for n in range(200)]
    enforcer.add(bans, 0)
    time.sleep(0.3)
    with contextlib.closing(NftablesEnforcer(max_bans=1000)) as later:
        assert later.add(bans, 0) == []
        left_s = {element.network: element.timeout_s or 0 for element in later.elements()}
        assert all(ban.until_s - 1 < left_s[ban.network] < ban.until_s - 0.25 for ban in bans)
        later.remove([(ban.network, PROVEN) for ban in bans])
        assert later.elements() == []


def test_a_restart_takes_over_the_pieces_and_the_bans_explain_them(enforcer: NftablesEnforcer) -> None:
    """A new instance, given the same bans, changes nothing, and can lift them whole."""
    bans = [_ban("10.0.0.0/8", 1000), _ban("10.64.0.0/10", 5000)]
    enforcer.add(bans, 0)
    before = _held(enforcer)
    with contextlib.closing(NftablesEnforcer(max_bans=1000)) as later:
        later.setup([])
        assert later.add(bans, 0) == []
        assert _held(later) == before
        later.remove([(parse_network("10.0.0.0/8"), PROVEN)])
        assert _held(later) == {"10.64.0.0/10": 5000}


def test_pieces_lost_or_added_by_others_are_no_failure(enforcer: NftablesEnforcer, node: Host) -> None:
    """Where the kernel holds something else than believed, it is read once and the change goes through."""
    enforcer.add([_ban("10.0.0.0/8", 1000), _ban("10.64.0.0/10", 5000)], 0)
    node.nft("delete element inet nodewarden ban4_nets { 10.128.0.0/9 }\n"
             "add element inet nodewarden ban4_nets { 10.200.0.0/16 timeout 9000s }\n")  # fmt: skip
    assert enforcer.refresh([_ban("10.0.0.0/8", 2000)], 0) == []
    held = _held(enforcer)
    assert held["10.200.0.0/16"] == 9000
    assert held["10.64.0.0/10"] == 5000
    assert held["10.0.0.0/10"] == 2000
    assert len(held) == 10
    node.nft("flush set inet nodewarden ban4_nets\n")
    enforcer.remove([(parse_network("10.0.0.0/8"), PROVEN)])
    assert set(_held(enforcer)) <= {"10.64.0.0/10"}


def test_bans_that_ended_by_themselves_are_in_nobodys_way(enforcer: NftablesEnforcer) -> None:
    """After its time a wide ban is forgotten, here and in the kernel, and its place can be taken."""
    enforcer.add([_ban("10.0.0.0/8", 0.05), _ban("10.64.0.0/10", 5000)], 0)
    while len(_held(enforcer)) > 1:
        pass
    assert enforcer.add([_ban("10.0.0.0/9", 2000)], now_s=0.1) == []
    assert _held(enforcer) == {"10.0.0.0/10": 2000, "10.64.0.0/10": 5000}


def test_what_would_fall_into_too_many_pieces_is_refused(enforcer: NftablesEnforcer) -> None:
    """The set's size bounds the pieces; what fits of a call is in force, the rest comes back as set_full."""
    assert enforcer.add([_ban("::/0", 100)], 0) == []
    bans = [_ban(network_of(n.to_bytes(2) + bytes(14), 127), 5000) for n in range(400)]
    failures = enforcer.add(bans, 0)
    assert {failure.cause for failure in failures} == {FailureCause.SET_FULL}
    assert 0 < len(failures) < 400
    assert enforcer.lookup(bans[0].network, PROVEN) is not None
    held = {element.network for element in enforcer.elements()}
    assert sum(ban.network in held for ban in bans) == 400 - len(failures)


def test_bans_that_ended_make_room(enforcer: NftablesEnforcer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended by itself counts against no limit, once the limit is met."""
    monkeypatch.setattr("monitor.enforcers.nftables.prefix_bans.MAX_PREFIXES", 3)
    bans = [_ban(f"10.{n}.0.0/16", 0.05 if n < 2 else 1000) for n in range(4)]
    assert enforcer.add(bans[:3], 0) == []
    assert [failure.cause for failure in enforcer.add(bans[3:], 0.01)] == [FailureCause.SET_FULL]
    while len(_held(enforcer)) > 1:
        pass
    assert enforcer.add(bans[3:], 0.1) == []
    assert sorted(_held(enforcer)) == ["10.2.0.0/16", "10.3.0.0/16"]
