"""Whom a node believes: breakers, budgets, quorums, roles, pardons, the mode; and what survives a restart."""

import pytest

from monitor.fleet.breaker import TRIPPED_S
from monitor.fleet.engine import Change, Kind
from monitor.fleet.records import VERSION, BanRecord, Hello, PardonRecord, SharedSet, encode
from monitor.fleet.refusals import Cause
from monitor.model.addresses import parse_network
from monitor.model.bans import Mode
from tests.support.fleet_nodes import NOW_S, Clock, Node, Server, meet

A, B, C = "198.51.100.1", "198.51.100.2", "198.51.100.3"
_ALLOWED = ["203.0.113.0/24"]


def _ban(network: str, since_s: float = NOW_S, reason: str = "5 failures") -> Change:
    record = BanRecord(VERSION, 1, network, SharedSet.BAN, since_s, since_s + 7200.0, "sshd", reason)
    return Change(Kind.BAN, f"ban {network}".encode(), encode(record), record.until_s)


def _pardon(network: str, at_s: float = NOW_S, until_s: float = NOW_S + 3600.0) -> Change:
    record = PardonRecord(VERSION, 1, network, at_s, until_s, "a mistake")
    return Change(Kind.PARDON, network.encode(), encode(record), until_s)


def _hello(role: str) -> bytes:
    return encode(Hello(VERSION, "1.0", NOW_S, role, "enforce", "", "", "", 0, 0, 0, 0, 0, 0, 0.0))


def _node(**fleet: object) -> Node:
    return Node("one", Server(), Clock(), allowlist=_ALLOWED, **fleet)  # type: ignore[arg-type]


def _hear(node: Node, *changes: Change, peer: str = "peer") -> None:
    node.fleet.changed(peer, changes)
    node.work()


def _name_allowed(node: Node, *minutes: float) -> bool:
    """Have a peer name one allowed network after the other; return whether its breaker tripped."""
    for number, minute in enumerate(minutes):
        node.clock.now_s = NOW_S + 60.0 * minute
        _hear(node, _ban(f"203.0.113.{number}", node.clock.now_s))
    peer = node.fleet.peers.find("peer")
    assert peer is not None
    return peer.breaker.is_tripped


@pytest.mark.parametrize(
    ("minutes", "trips"), [((0, 1), False), ((0, 4, 9), True), ((0, 5, 11), False), ((0, 5, 11, 12), True)]
)
def test_three_allowed_networks_in_ten_minutes_trip_the_breaker(minutes: tuple[float, ...], trips: bool) -> None:
    node = _node()
    _hear(node, _ban(A))
    assert _name_allowed(node, *minutes) is trips
    assert node.held("peer", Mode.OBSERVE if trips else Mode.ENFORCE) == {A}
    assert node.held("peer", Mode.ENFORCE if trips else Mode.OBSERVE) == set()


def test_one_allowed_network_named_again_and_again_trips_nothing() -> None:
    node = _node()
    for _ in range(50):
        _hear(node, _ban("203.0.113.1"))
    assert not node.fleet.view().nodes[0].breaker
    assert node.fleet.peers.refused[Cause.ALLOWLISTED] == 50


def test_more_than_the_budget_trips_the_breaker_and_all_is_observed() -> None:
    node = _node(bans_per_minute=10)
    node.fleet.helloed("peer", _hello(""))
    node.clock.now_s += 700.0  # what a new node may bring at first is over
    node.fleet.helloed("peer", _hello(""))
    node.clock.now_s += 700.0
    for number in range(40):
        node.fleet.helloed("peer", _hello(""))
        node.clock.now_s += 20.0
        if number > 36:
            _hear(node, *(_ban(f"198.51.100.{number - 36}{one}", node.clock.now_s) for one in range(10)))
    peer = node.fleet.peers.find("peer")
    assert peer is not None
    assert peer.breaker.is_tripped
    assert "bans a minute" in peer.breaker.reason
    assert peer.enforced == 0
    assert 0 < peer.observed <= 30
    assert node.enforced() == set()


def test_a_peer_that_was_away_may_bring_what_it_missed_to_tell() -> None:
    node = _node(bans_per_minute=10)
    node.fleet.helloed("peer", _hello(""))
    node.clock.now_s += 3600.0
    _hear(node, *(_ban(f"198.51.100.{number}", node.clock.now_s) for number in range(200)))
    assert len(node.held("peer")) == 200


def test_what_tripped_stays_so_over_a_restart_until_it_is_trusted_or_a_day_is_over() -> None:
    for trusts in (True, False):
        node = _node()
        _hear(node, _ban(A))
        assert _name_allowed(node, 0, 1, 2)
        node.restart()
        _hear(node, _ban(B, node.clock.now_s))
        assert node.held("peer", Mode.OBSERVE) == {A, B}
        if trusts:
            assert node.fleet.trust("peer")
            assert not node.fleet.trust("peer")
            assert not node.fleet.trust("nobody")
            node.work()
            assert node.held("peer") == {A, B}
        else:
            node.clock.now_s = NOW_S + TRIPPED_S + 121.0
            assert node.fleet.tick(node.clock.now_s) == ["peer"]


def test_a_tripped_peer_can_pardon_nobody() -> None:
    node = _node()
    node.ban(A)
    assert _name_allowed(node, 0, 1, 2)
    _hear(node, _pardon(A, node.clock.now_s))
    assert node.enforced() == {A}


def test_a_quorum_is_needed_to_enforce_and_to_go_on() -> None:
    node = _node(quorum=2)
    _hear(node, _ban(A), _ban(A), peer="first")
    assert node.held("first", Mode.OBSERVE) == {A}
    _hear(node, _ban(A), peer="second")
    assert node.held("first") == node.held("second") == {A}
    _hear(node, Change(Kind.UNBAN, f"ban {A}".encode()), peer="first")
    assert (node.held("first"), node.held("second", Mode.OBSERVE)) == (set(), {A})
    peer = node.fleet.peers.find("second")
    assert peer is not None
    assert (peer.enforced, peer.observed) == (0, 1)
    _hear(node, _ban(A), peer="third")
    assert node.held("second") == node.held("third") == {A}


def test_a_local_ban_hides_no_claim_that_counts_for_a_quorum() -> None:
    node = _node(quorum=2)
    node.ban(A, bantime_s=60.0)
    for peer in ("first", "second"):
        _hear(node, _ban(A), peer=peer)
    node.clock.now_s += 61.0
    node.tick()
    assert node.held("first") == node.held("second") == {A}


def test_only_wanted_roles_are_believed_and_unknown_ones_are_observed() -> None:
    node = _node(adopt_roles=("edge",))
    for peer in ("first", "second"):
        _hear(node, _ban(A), peer=peer)
        assert node.held(peer, Mode.OBSERVE) == {A}
    for peer, role in (("first", "edge"), ("second", "lab")):
        node.fleet.helloed(peer, _hello(role))
    node.work()
    assert node.held("first") == {A}
    assert node.held("second") | node.held("second", Mode.OBSERVE) == set()
    _hear(node, _ban(B), peer="second")
    assert node.fleet.peers.refused[Cause.ROLE] == 1


def test_a_node_that_does_not_adopt_takes_nothing() -> None:
    node = _node(adopt=False)
    _hear(node, _ban(A))
    assert node.claims() == set()
    assert node.fleet.peers.refused[Cause.OFF] == 1


def test_another_mode_is_followed_by_what_is_held() -> None:
    node = _node(mode=Mode.OBSERVE)
    _hear(node, _ban(A))
    for mode, other in ((Mode.OBSERVE, Mode.ENFORCE), (Mode.ENFORCE, Mode.OBSERVE), (Mode.OBSERVE, Mode.ENFORCE)):
        node.reconfigure(mode=mode)
        assert (node.held("peer", mode), node.held("peer", other)) == ({A}, set())
        peer = node.fleet.peers.find("peer")
        assert peer is not None
        assert (peer.enforced, peer.observed) == ((1, 0) if mode is Mode.ENFORCE else (0, 1))


def test_a_pardon_lets_go_everywhere_and_bars_for_its_time() -> None:
    server, clock = Server(), Clock()
    one, other, third = (Node(name, server, clock) for name in ("one", "other", "third"))
    meet(one, other, third)
    one.ban(A)
    other.ban(A)
    meet(one, other, third)
    assert third.held("one") == third.held("other") == {A}
    third.fleet.pardon([parse_network(A)], clock.now_s + 600.0, "a customer", clock.now_s)
    meet(one, other, third)
    assert one.enforced() == other.enforced() == third.enforced() == set()
    assert third.fleet.pardoned(parse_network(A), clock.now_s) == (clock.now_s + 600.0, "by this node: a customer")
    assert one.fleet.pardoned(parse_network(A), clock.now_s) == (clock.now_s + 600.0, "by third: a customer")
    clock.now_s += 10.0
    one.ban(A)  # it goes on: here that counts, elsewhere it is barred
    meet(one, other, third)
    for node in (one, other, third):
        node.restart()
    meet(one, other, third)
    assert (one.enforced(), other.enforced(), third.enforced()) == ({A}, set(), set())
    assert other.fleet.peers.refused[Cause.PARDONED] > 0
    clock.now_s += 600.0
    for node in (one, other, third):
        node.tick()
        node.restart()
    meet(one, other, third)
    assert other.enforced() == third.enforced() == {A}


def test_a_pardon_ends_early_when_its_node_gives_it_again_for_a_shorter_time() -> None:
    server, clock = Server(), Clock()
    one, other = (Node(name, server, clock) for name in ("one", "other"))
    meet(one, other)
    for for_s in (86_400.0, 60.0):
        one.fleet.pardon([parse_network(A)], clock.now_s + for_s, "a slip", clock.now_s)
        meet(one, other)
        clock.now_s += 30.0
        assert other.fleet.pardoned(parse_network(A), clock.now_s)
    clock.now_s += 31.0
    one.ban(A)
    meet(one, other)
    assert other.held("one") == {A}


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("5 failures in sshd (/var/log/auth.log)", "5 failures in sshd (/var/log/auth.log)"),
        ("5 failures in sshd-session", "5 failures in sshd-session (sshd)"),
        ("", "sshd"),
    ],
)
def test_a_reason_of_a_peer_names_the_detector_once(reason: str, shown: str) -> None:
    node = _node()
    _hear(node, _ban(A, reason=reason))
    assert [claim.reason for claim in node.pipeline.ledger.all_claims()] == [shown]


def test_a_pardon_that_comes_again_ends_no_newer_ban() -> None:
    node = _node()
    node.ban(A)
    _hear(node, _pardon(A))
    assert node.enforced() == set()
    node.clock.now_s += 30.0
    node.ban(A)
    for _ in range(2):
        _hear(node, _pardon(A))
        node.restart()
    assert node.enforced() == {A}


def test_pardons_count_for_the_budget_of_a_peer() -> None:
    node = _node(bans_per_minute=10, max_per_peer=10)
    node.ban(A)
    _hear(node, *(_pardon(f"198.51.100.{number}") for number in range(10, 50)), _pardon(A))
    assert node.enforced() == {A}
    assert node.fleet.view().nodes[1].breaker


def test_a_pardon_changes_nothing_that_is_enforced_while_the_fleet_is_only_observed() -> None:
    node = _node(mode=Mode.OBSERVE)
    node.ban(A)
    _hear(node, _ban(B))
    _hear(node, _pardon(A), _pardon(B))
    assert node.enforced() == {A}
    assert node.held("peer", Mode.OBSERVE) == set()


def test_a_pardon_of_a_network_bars_what_is_in_it_and_around_it() -> None:
    node = _node()
    _hear(node, _pardon("2001:db8:1::/64"), _pardon("2001:db8:2::1"))
    _hear(node, _ban("2001:db8:1::7"), _ban("2001:db8:2::/64"), _ban("2001:db8:3::/64"))
    assert node.held("peer") == {"2001:db8:3::/64"}


def test_the_fleets_allowlist_protects_and_frees() -> None:
    server, clock = Server(), Clock()
    one, other = Node("one", server, clock), Node("other", server, clock)
    one.ban(A)
    meet(one, other)
    server.allow = {b"list": b"id-1", A.encode(): b"the office", b"0.0.0.0/0": b"too much", b"what": b""}
    meet(one, other)
    assert one.enforced() == other.enforced() == set()
    entry = other.pipeline.guard.protects(parse_network(A))
    assert entry is not None
    assert entry.reason == "fleet: the office"
    assert "2 entries" in other.fleet.problems()[0]
    server.wipe()
    other.restart()
    meet(one, other)
    assert other.pipeline.guard.protects(parse_network(A)) is not None
    assert "lost" in other.fleet.problems()[0]
    server.allow = {b"list": b"id-2", B.encode(): b"the other office"}
    meet(one, other)
    assert all(other.pipeline.guard.protects(parse_network(one)) for one in (A, B))
    assert other.fleet.notices()
    clock.now_s += 8 * 86400.0
    other.tick()
    meet(one, other)
    assert other.pipeline.guard.protects(parse_network(A)) is None
    server.allow = {b"list": b"id-2"}
    meet(one, other)
    assert other.pipeline.guard.protects(parse_network(B)) is None


def test_nodes_that_left_make_room_and_more_than_are_followed_are_ignored() -> None:
    node = _node()
    node.fleet.peers._max = 3
    for peer in ("a", "b", "c", "d"):
        _hear(node, _ban(A), peer=peer)
    assert node.held("d") == set()
    assert node.fleet.view().omitted_nodes > 0
    _hear(node, Change(Kind.UNBAN, f"ban {A}".encode()), peer="a")
    node.clock.now_s += 4000.0
    _hear(node, _ban(A), peer="d")
    assert node.held("d") == {A}


def _many(count: int, since_s: float) -> list[Change]:
    return [_ban(f"198.51.{number >> 8}.{number & 255}", since_s) for number in range(count)]


def _settled_in(node: Node) -> None:
    """Let a peer be one that is heard all the time, with its budget as it should be."""
    for _ in range(40):
        node.fleet.helloed("peer", _hello(""))
        node.clock.now_s += 20.0


def _tripped(node: Node) -> str:
    return next(one.breaker for one in node.fleet.view().nodes if one.name == "peer")


def test_a_snapshot_of_what_there_was_no_room_to_observe_trips_nothing() -> None:
    node = _node(mode=Mode.OBSERVE, bans_per_minute=10)
    node.pipeline.ledger.observed.max_each = 50
    changes = _many(300, NOW_S)
    for _ in range(2):
        _settled_in(node)
        node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
        node.work()
        assert _tripped(node) == ""
    assert len(node.held("peer", Mode.OBSERVE)) == 50


def test_what_an_operator_here_does_is_not_held_against_a_peer() -> None:
    node = _node(bans_per_minute=10)
    changes = _many(300, NOW_S)
    node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
    node.work()
    for again in ("flush", "trust", "configure"):
        _settled_in(node)
        if again == "flush":
            node.pipeline.flush(node.now())
            node.fleet.flushed()
        elif again == "trust":
            peer = node.fleet.peers.find("peer")
            assert peer is not None
            peer.breaker.trip("a test", node.now())
            node.pipeline.flush(node.now())
            assert node.fleet.trust("peer")
        else:
            node.reconfigure(adopt=False)
            node.reconfigure(adopt=True)
        assert node.held("peer") == set()
        node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
        node.work()
        assert _tripped(node) == ""
        assert len(node.held("peer")) == 300


def test_allowed_networks_that_were_banned_over_days_trip_nothing_in_a_snapshot() -> None:
    node = _node()
    for since_s, trips in ((NOW_S - 3600.0, False), (NOW_S - 60.0, True)):
        changes = [_ban(f"203.0.113.{number}", since_s) for number in range(5)]
        node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
        node.work()
        assert bool(_tripped(node)) is trips


def test_what_there_is_no_room_for_is_refused_and_trips_nothing() -> None:
    node = _node(bans_per_minute=10)
    node.pipeline.ledger.max_bans = 40
    changes = _many(100, NOW_S)
    for _ in range(3):
        node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
        node.work()
        _settled_in(node)
    assert len(node.held("peer")) == 30
    assert node.fleet.peers.refused[Cause.FULL] == 210
    assert _tripped(node) == ""
