"""Nodes of a fleet over a server in memory: who bans what, and what never happens."""

from collections.abc import Sequence

import msgspec
import pytest

from monitor.bans.decision import Verdict
from monitor.fleet.engine import Change, Kind
from monitor.fleet.records import VERSION, BanRecord, SharedSet, encode
from monitor.fleet.refusals import Cause
from monitor.fleet.settings import Share
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import ClaimOrigin, Mode
from tests.support.fleet_nodes import NOW_S, Clock, Node, Server, meet

A, B, C = "198.51.100.1", "198.51.100.2", "198.51.100.3"
_RECORD = BanRecord(VERSION, 7, A, SharedSet.BAN, NOW_S - 10.0, NOW_S + 3600.0, "sshd", "5 failures")


def _change(**differs: object) -> Change:
    record = msgspec.structs.replace(_RECORD, **differs)
    return Change(Kind.BAN, f"{record.set} {record.net}".encode(), encode(record), record.until_s)


def _hear(node: Node, changes: Sequence[Change], peer: str = "peer") -> None:
    node.fleet.changed(peer, changes)
    node.work()


def _node(name: str = "one", **fleet: object) -> Node:
    return Node(name, Server(), Clock(), **fleet)  # type: ignore[arg-type]


def _pair(**fleet: object) -> tuple[Node, Node]:
    server, clock = Server(), Clock()
    one, other = Node("one", server, clock, **fleet), Node("other", server, clock, **fleet)  # type: ignore[arg-type]
    meet(one, other)
    return one, other


def test_what_one_proved_the_other_enforces() -> None:
    one, other = _pair()
    one.ban(A)
    meet(one, other)
    assert other.held("one") == {A}
    assert one.held("other") == set()
    one.unban(A)
    meet(one, other)
    assert other.enforced() == set()


@pytest.mark.parametrize(
    "what",
    [
        {"strength": Strength.SPOOFABLE},
        {"strength": Strength.DESTINATION},
        {"origin": ClaimOrigin.OPERATOR, "name": "manual"},
        {"origin": ClaimOrigin.IMPORT, "name": "fail2ban"},
        {"origin": ClaimOrigin.LIST, "name": "drop"},
        {"origin": ClaimOrigin.PEER, "name": "crowdsec"},
        {"origin": ClaimOrigin.PEER, "name": "third"},
        {"name": "restored"},
        {"mode": Mode.OBSERVE},
    ],
)
def test_nothing_else_is_published(what: dict[str, object]) -> None:
    one, other = _pair()
    one.ban(A, **what)  # type: ignore[arg-type]
    meet(one, other)
    assert one.server.hashes["one"] == {}
    assert len(other.pipeline.ledger) == 0


def test_an_order_for_the_fleet_is_shared_even_if_detectors_are_not() -> None:
    one, other = _pair(publish=False)
    one.ban(B)
    one.ban_for_fleet(A)
    meet(one, other)
    assert other.held("one") == {A}


def test_shuns_are_shared_and_taken_only_where_the_setting_says_so() -> None:
    one, other = _pair(share=Share.ALL)
    one.ban(A, strength=Strength.SPOOFABLE)
    meet(one, other)
    claim = next(iter(other.pipeline.ledger.all_claims()))
    assert claim.strength is Strength.SPOOFABLE
    other.reconfigure(share=Share.PROVEN)
    assert other.held("one") == set()
    meet(one, other)
    assert other.held("one") == set()


def test_what_ended_unheard_is_in_no_snapshot_and_ends() -> None:
    one, other = _pair()
    for network in (A, B, C):
        one.ban(network)
    meet(one, other)
    other.reachable = False
    one.unban(B)
    one.sync()
    one.server.streams["one"] = []
    other.reachable = True
    other.restart()
    meet(one, other)
    assert other.held("one") == {A, C}


def test_a_snapshot_that_was_cut_ends_nothing() -> None:
    node = _node()
    _hear(node, [_change()])
    node.fleet._intake._max_of_peer = 2
    node.fleet.snapshot("peer", [_change(net=f"198.51.100.{i}") for i in range(10, 20)], is_first=True, is_last=True)
    node.work()
    assert A in node.held("peer")
    assert node.fleet.peers.refused[Cause.WAITING] == 9


def test_a_snapshot_that_was_interrupted_ends_nothing_until_the_next() -> None:
    node = _node()
    _hear(node, [_change(net=A), _change(net=B)])
    node.fleet.snapshot("peer", [_change(net=C)], is_first=True, is_last=False)
    node.work()
    assert node.held("peer") == {A, B, C}
    node.fleet.snapshot("peer", [_change(net=B)], is_first=True, is_last=True)
    node.work()
    assert node.held("peer") == {B}


def test_changes_behind_a_snapshot_wait_until_it_is_compared() -> None:
    node = _node()
    _hear(node, [_change(net=A)])
    node.fleet.snapshot("peer", [], is_first=True, is_last=True)
    node.fleet.changed("peer", [_change(net=B)])
    node.work()
    assert node.held("peer") == {B}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_change(v=VERSION + 1), Cause.VERSION),
        (_change(reason="x" * 2000), Cause.OVERSIZE),
        (_change(since_s=-1.0), Cause.MALFORMED),
        (_change(until_s=float("nan")), Cause.MALFORMED),
        (Change(Kind.BAN, b"ban 198.51.100.2", _change().record), Cause.MALFORMED),
        (Change(Kind.BAN, b"shun 198.51.100.1", _change().record), Cause.MALFORMED),
        (Change(Kind.BAN, b"egress 198.51.100.1", _change().record), Cause.MALFORMED),
        (Change(Kind.BAN, b"\xff\xfe", _change().record), Cause.MALFORMED),
        (Change(Kind.BAN, b"", b""), Cause.MALFORMED),
        (Change(Kind.UNBAN, b"ban nobody"), Cause.MALFORMED),
        (Change(Kind.PARDON, b"198.51.100.1", b"x"), Cause.MALFORMED),
        (_change(net="198.51.100.1/32"), Cause.MALFORMED),
        (_change(net="::ffff:198.51.100.1"), Cause.MALFORMED),
        (_change(net="2001:DB8::1"), Cause.MALFORMED),
        (_change(net="198.51.100.1 tcp/0"), Cause.MALFORMED),
        (_change(net="198.51.100.1 tcp/80 tcp/22"), Cause.MALFORMED),
        (_change(net="198.51.100.1 " + " ".join(f"tcp/{port}" for port in range(1, 66))), Cause.MALFORMED),
        (_change(net="198.51.100.0/24"), Cause.WIDE),
        (_change(net="0.0.0.0/0"), Cause.ALLOWLISTED),
        (_change(net="::/0"), Cause.ALLOWLISTED),
        (_change(net="2001:db8::/48"), Cause.WIDE),
        (_change(net="203.0.113.7"), Cause.ALLOWLISTED),
        (_change(net="127.0.0.1"), Cause.ALLOWLISTED),
        (_change(net="10.1.2.3"), Cause.INTERNAL),
        (_change(net="fd00::1"), Cause.INTERNAL),
        (_change(set=SharedSet.SHUN), Cause.SPOOFABLE),
        (_change(until_s=NOW_S - 1.0), Cause.ENDED),
        (_change(since_s=NOW_S - 90_000.0, until_s=NOW_S + 3600.0), Cause.ENDED),
    ],
)
def test_what_a_peer_must_not_have_us_ban_is_refused_and_counted(change: Change, cause: Cause) -> None:
    node = Node("one", Server(), Clock(), allowlist=["203.0.113.0/24"])
    _hear(node, [change])
    assert node.claims() == set()
    assert node.fleet.peers.refused == {**dict.fromkeys(Cause, 0), cause: 1}


@pytest.mark.parametrize("name", ["one", "crowdsec", "", "UPPER", "a" * 64, "two\nlines", "../x", "a b"])
def test_no_node_of_our_name_or_of_none_is_heard(name: str) -> None:
    node = _node()
    _hear(node, [_change()], name)
    node.fleet.snapshot(name, [_change()], is_first=True, is_last=True)
    node.fleet.helloed(name, b"x")
    node.work()
    assert node.claims() == set()
    assert bool(node.fleet.problems()) is (name == "one")


def test_a_ban_of_some_ports_is_one_here_too() -> None:
    one, other = _pair()
    ports = b"\x06\x00\x16\x06\x00\x50"
    one.ban(A, ports=ports)
    meet(one, other)
    claim = next(iter(other.pipeline.ledger.all_claims()))
    assert claim.network.ports == ports
    one.unban(A)
    meet(one, other)
    assert other.claims() == set()


@pytest.mark.parametrize(
    ("since_s", "until_s", "left_s"),
    [
        (NOW_S, NOW_S + 7 * 86400.0, 86400.0),
        (NOW_S - 43200.0, NOW_S + 7 * 86400.0, 43200.0),
        (NOW_S + 3.0e9, NOW_S + 6.0e9, 86400.0),
        (0.0, NOW_S + 60.0, None),
        (NOW_S - 5.0, NOW_S + 60.0, 60.0),
    ],
)
def test_no_ban_lasts_longer_than_we_take_it_for(since_s: float, until_s: float, left_s: float | None) -> None:
    node = _node()
    for _ in range(2):  # reading it again prolongs nothing
        _hear(node, [_change(since_s=since_s, until_s=until_s)])
    ends = [round(one.until_s - NOW_S) for one in node.pipeline.ledger.all_claims()]
    assert ends == ([] if left_s is None else [round(left_s)])


def test_a_shorter_end_is_followed_too() -> None:
    node = _node()
    _hear(node, [_change(until_s=NOW_S + 3600.0)])
    _hear(node, [_change(until_s=NOW_S + 600.0)])
    assert [round(one.until_s - NOW_S) for one in node.pipeline.ledger.all_claims()] == [600]
    assert node.fleet.peers.find("peer").held == 1  # type: ignore[union-attr]


def test_the_server_away_removes_nothing_and_prolongs_nothing() -> None:
    one, other = _pair()
    one.ban(A, bantime_s=600.0)
    meet(one, other)
    one.reachable = other.reachable = False
    meet(one, other)
    assert other.held("one") == {A}
    one.ban(A, bantime_s=3600.0)
    one.clock.now_s += 601.0
    for node in (one, other):
        node.tick()
    assert other.enforced() == set()
    assert one.enforced() == {A}
    view = other.fleet.view()
    assert (view.is_connected, view.problem) == (False, "it does not answer")


def test_adopted_bans_leave_no_trace_in_the_history_of_this_node() -> None:
    one, other = _pair()
    one.ban(A)
    meet(one, other)
    (decision,) = other.decisions
    assert decision.verdict is Verdict.BAN
    assert decision.offence is None
    assert decision.spared is None
    assert list(other.pipeline.ledger.notes(parse_network(A).address)) == []


def test_leaving_the_fleet_ends_what_peers_claim_and_nothing_else() -> None:
    one, other = _pair()
    for network in (A, B):
        one.ban(network)
    other.ban(B)
    other.ban(C, origin=ClaimOrigin.PEER, name="crowdsec")
    meet(one, other)
    other.fleet.leave()
    other.work()
    assert other.enforced() == {B, C}
    assert other.held("one") == set()


def test_one_peer_with_a_million_records_takes_bounded_room() -> None:
    node = _node(max_per_peer=500)
    record = _change().record
    part = [Change(Kind.BAN, b"ban 198.51.%d.%d" % (i >> 8, i & 255), record) for i in range(500)]
    for _ in range(2000):
        node.fleet.changed("peer", part)
    assert node.fleet.is_busy
    assert len(node.fleet._intake) == 65_536
    refused = node.fleet.peers.refused
    assert refused[Cause.WAITING] == 1_000_000 - 65_536
    node.fleet.changed("quiet", [_change(net=C)])
    for _ in range(2):
        node.fleet.work.step()
    assert node.held("quiet") == {C}


def test_a_field_that_is_twice_in_a_snapshot_hides_no_end() -> None:
    node = _node()
    _hear(node, [_change(net=A), _change(net=B)])
    node.fleet.snapshot("peer", [_change(net=B), _change(net=B)], is_first=True, is_last=True)
    node.work()
    assert node.held("peer") == {B}


def test_a_snapshot_with_nothing_new_looks_through_nothing() -> None:
    node = _node()
    _hear(node, [_change(net=A), _change(net=B)])
    node.fleet.snapshot("peer", [_change(net=B), _change(net=A), _change(net=C)], is_first=True, is_last=True)
    node.fleet.work.step()
    assert node.fleet.work.is_idle
    assert node.held("peer") == {A, B, C}
