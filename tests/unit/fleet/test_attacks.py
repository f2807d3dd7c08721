"""What a peer that was taken over tries: pardons, silence about its role, floods. A good one can be trusted again."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from monitor.bans.merge import is_restored
from monitor.fleet.allowed import MAX_ENTRIES, FleetAllowlist
from monitor.fleet.comparison import differing
from monitor.fleet.engine import Change, Kind
from monitor.fleet.pardons import MAX_PARDONS, WIDEST_PARDON
from monitor.fleet.presentation import show_node
from monitor.fleet.publication import is_shared
from monitor.fleet.records import VERSION, BanRecord, Hello, PardonRecord, SharedSet, encode
from monitor.fleet.refusals import Cause
from monitor.fleet.settings import Share
from monitor.model.addresses import parse_network
from monitor.model.bans import Mode
from tests.support.fleet_nodes import NOW_S, Clock, Node, Server

A, B, C = "198.51.100.1", "198.51.100.2", "198.51.100.3"


def _ban(network: str, since_s: float = NOW_S, until_s: float | None = None) -> Change:
    until_s = since_s + 7200.0 if until_s is None else until_s
    record = BanRecord(VERSION, 1, network, SharedSet.BAN, since_s, until_s, "sshd", "5 failures")
    return Change(Kind.BAN, f"ban {network}".encode(), encode(record), until_s)


def _pardon(network: str, at_s: float = NOW_S, for_s: float = 3600.0) -> Change:
    record = PardonRecord(VERSION, 1, network, at_s, at_s + for_s, "a mistake")
    return Change(Kind.PARDON, network.encode(), encode(record), at_s + for_s)


def _hello(role: str = "") -> bytes:
    return encode(Hello(VERSION, "1.0", NOW_S, role, "enforce", "", "", "", 0, 0, 0, 0, 0, 0, 0.0))


def _node(**fleet: object) -> Node:
    return Node("one", Server(), Clock(), allowlist=["203.0.113.0/24"], **fleet)  # type: ignore[arg-type]


def _hear(node: Node, *changes: Change, peer: str = "peer") -> None:
    node.fleet.changed(peer, changes)
    node.work()


def _breaker(node: Node, peer: str = "peer") -> str:
    found = node.fleet.peers.find(peer)
    assert found is not None
    return found.breaker.reason


def test_a_pardon_that_is_renewed_again_and_again_costs_the_budget() -> None:
    node = _node(bans_per_minute=10, max_per_peer=10)
    for _ in range(60):
        node.clock.now_s += 3.0
        node.ban(A)
        _hear(node, _pardon(A, node.clock.now_s))
    assert _breaker(node)
    assert node.enforced() == {A}


def test_a_ban_whose_end_changes_without_end_is_not_written_to_the_kernel_each_time() -> None:
    node = _node(bans_per_minute=10)
    for number in range(100):
        _hear(node, _ban(A, until_s=NOW_S + 3600.0 + 60.0 * (number % 7)))
    assert len(node.decisions) <= 11
    assert node.fleet.peers.refused[Cause.BUDGET] > 50
    assert (_breaker(node), node.held("peer")) == ("", {A})
    _hear(node, Change(Kind.UNBAN, f"ban {A}".encode()))
    assert node.held("peer") == set()


@pytest.mark.parametrize("for_s", [1.0, 600.0, 6 * 86400.0])
def test_a_peer_neither_shortens_nor_takes_over_what_the_operator_pardoned(for_s: float) -> None:
    node, network = _node(), parse_network(A)
    node.fleet.pardon([network], NOW_S + 3600.0, "a customer", NOW_S)
    node.clock.now_s += 5.0
    _hear(node, _pardon(A, node.clock.now_s, for_s))
    node.restart()
    node.clock.now_s = NOW_S + 3590.0
    assert node.fleet.pardoned(network, node.clock.now_s) == (NOW_S + 3600.0, "by this node: a customer")
    assert node.fleet.pardons.own() == [network]
    _hear(node, _ban(A, node.clock.now_s))
    assert node.enforced() == set()


def test_a_peer_does_not_shorten_what_another_one_pardoned_but_may_what_it_did_itself() -> None:
    node, network = _node(), parse_network(A)
    _hear(node, _pardon(A), peer="good")
    node.clock.now_s += 9.0
    _hear(node, _pardon(A, NOW_S + 5.0, 10.0), peer="bad")
    assert node.fleet.pardoned(network, NOW_S) == (NOW_S + 3600.0, "by good: a mistake")
    _hear(node, _pardon(A, NOW_S + 9.0, 10.0), peer="good")
    assert node.fleet.pardoned(network, NOW_S) == (NOW_S + 19.0, "by good: a mistake")


def test_a_flood_of_pardons_pushes_out_only_those_of_the_same_peer() -> None:
    node = _node()
    node.fleet.pardon([parse_network(A)], NOW_S + 60.0, "here", NOW_S)
    _hear(node, _pardon(B, for_s=60.0), peer="good")
    _hear(node, *(_pardon(f"100.64.{number >> 8}.{number & 255}") for number in range(2 * MAX_PARDONS)))
    assert len(node.fleet.pardons) == MAX_PARDONS + 1
    for network in (A, B):
        assert node.fleet.pardoned(parse_network(network), NOW_S) is not None


@pytest.mark.parametrize("network", ["0.0.0.0/0", "128.0.0.0/1", "198.50.0.0/15", "::/0", "2000::/3", "2001:db8::/31"])
def test_nobody_is_pardoned_by_the_continent(network: str) -> None:
    node = _node()
    inside = str(parse_network(network)).split("/")[0].replace("0.0.0.0", "9.9.9.9").replace("198.50.0.0", A)
    _hear(node, _pardon(network))
    assert node.fleet.peers.refused[Cause.WIDE] == 1
    assert node.fleet.pardoned(parse_network(inside), NOW_S) is None
    assert MAX_PARDONS / 2 ** min(WIDEST_PARDON.values()) < 0.02


def test_pardons_of_a_peer_bar_nothing_once_its_breaker_tripped() -> None:
    node = _node()
    _hear(node, _pardon(A))
    _hear(node, *(_ban(f"203.0.113.{number}") for number in range(3)))
    assert _breaker(node)
    _hear(node, _ban(A), peer="good")
    assert node.held("good") == {A}


def test_a_peer_that_keeps_silent_about_its_role_counts_for_no_quorum() -> None:
    for order in (("mute", "good"), ("good", "mute")):
        node = _node(quorum=2, adopt_roles=("edge",))
        node.fleet.helloed("good", _hello("edge"))
        for peer in order:
            _hear(node, _ban(A), peer=peer)
        assert node.enforced() == set()
        node.fleet.helloed("mute", _hello("edge"))
        node.work()
        assert node.held("good") == node.held("mute") == {A}
        node.restart()  # nobody has said anything yet
        assert node.held("good") == node.held("mute") == {A}
        node.fleet.helloed("good", _hello("edge"))
        node.work()
        assert node.held("good") == node.held("mute") == {A}


def test_nothing_of_the_batch_in_which_a_breaker_trips_is_enforced_even_for_a_moment() -> None:
    node = _node()
    _hear(node, _ban(A), *(_ban(f"203.0.113.{number}") for number in range(3)), _ban(B))
    assert {decision.claim.mode for decision in node.decisions if decision.claim} == {Mode.OBSERVE}
    assert node.held("peer", Mode.OBSERVE) == {A, B}


def test_a_record_that_is_over_ends_what_is_held_and_frames_nobody() -> None:
    node = _node()
    _hear(node, _ban(A))
    _hear(node, *(_ban(one, NOW_S - 90.0, NOW_S - 1.0) for one in (A, "203.0.113.1", "203.0.113.2", "203.0.113.3")))
    assert node.enforced() == set()
    assert not _breaker(node)


def test_a_peer_that_is_trusted_again_stays_trusted_when_its_old_bans_are_read_again() -> None:
    node = _node()
    changes = [*(_ban(f"203.0.113.{number}") for number in range(5)), _ban(A)]
    _hear(node, *changes)
    assert _breaker(node)
    node.clock.now_s += 10.0
    assert node.fleet.trust("peer")
    for _ in range(2):
        node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
        node.work()
        assert (_breaker(node), node.held("peer")) == ("", {A})
        node.restart()
    node.clock.now_s += 10.0
    _hear(node, *(_ban(f"203.0.113.{number}", node.clock.now_s) for number in range(3)))
    assert _breaker(node)


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def test_no_text_of_a_hello_forges_a_line_or_a_color_anywhere() -> None:
    evil, node = "x\n1 ERROR\x1b[31m\u202e", _node()
    for peer, allowlist in (("a", "1"), ("b", "1"), ("c", evil)):
        said = Hello(
            VERSION, evil, NOW_S, evil, evil, allowlist, allowlist, evil, 0, 0, 0, 0, 0, 0, 0.0, [evil], {evil: evil}
        )
        node.fleet.helloed(peer, encode(said))
    view = node.fleet.view()
    differences = [one.text for one in differing(view.nodes)]
    assert any("of role x" in one for one in differences)
    assert all(map(str.isprintable, _texts([differences, list(map(show_node, view.nodes))])))


def test_the_name_of_another_node_can_be_taken_over_when_that_is_gone() -> None:
    node = _node()
    _hear(node, _ban(A), peer="former")
    _hear(node, _ban(B))
    node.settings = msgspec.structs.replace(
        node.settings, fleet=msgspec.structs.replace(node.settings.fleet, node="former")
    )
    node.restart()
    assert node.enforced() == {B}
    assert node.fleet.problems() == []
    assert node.fleet.peers.refused[Cause.OWN_NAME] == 0


def test_a_ban_that_starts_in_the_future_is_not_prolonged_by_reading_it_again() -> None:
    node = _node()
    change = _ban(A, NOW_S + 3e7, NOW_S + 9e8)
    _hear(node, change)
    for _ in range(3):
        node.clock.now_s += 3600.0
        node.fleet.snapshot("peer", [change], is_first=True, is_last=True)
        node.work()
    assert [claim.until_s for claim in node.pipeline.ledger.all_claims()] == [NOW_S + 86400.0]


@pytest.mark.parametrize(
    "network",
    ["198.51.100.1 icmp/8", "198.51.100.1 tcp/65536", "198.51.100.1  tcp/22", "198.51.100.1 tcp/-1", "::ffff:1.2.3.4"],
)
@pytest.mark.parametrize("make", [_ban, _pardon])
def test_a_network_that_is_none_costs_only_its_record(network: str, make: Callable[[str], Change]) -> None:
    node = _node()
    _hear(node, make(network), _ban(A))
    assert node.fleet.peers.refused[Cause.MALFORMED] == 1
    assert node.held("peer") == {A}


@pytest.mark.parametrize("name", ["port_scan", "restored", "manual", "fleet", "prefix"])
def test_a_node_that_is_called_like_something_of_ours_is_none_of_it(name: str) -> None:
    node = _node(share=Share.ALL)
    record = BanRecord(VERSION, 1, A, SharedSet.SHUN, NOW_S, NOW_S + 7200.0, name, "")
    _hear(node, Change(Kind.BAN, f"shun {A}".encode(), encode(record), record.until_s), peer=name)
    (claim,) = node.pipeline.ledger.all_claims()
    node.pipeline.bans.withdraw(claim.network, name, NOW_S)
    node.unban(A)
    assert not is_restored(claim)
    assert not is_shared(claim, node.settings.fleet)
    assert node.held(name) == {A}


@pytest.mark.parametrize("what", ["hello", "ban", "pardon"])
def test_a_peer_that_speaks_a_later_version_is_a_problem_until_it_is_understood(what: str) -> None:
    node = _node()
    later = msgspec.msgpack.encode([VERSION + 1, {"another": "shape"}])
    if what == "hello":
        node.fleet.helloed("peer", later)
    else:
        _hear(node, Change(Kind.BAN if what == "ban" else Kind.PARDON, f"ban {A}".encode(), later, NOW_S + 60.0))
    assert "peer" in node.fleet.problems()[0]
    assert "later version" in node.fleet.problems()[0]
    node.clock.now_s += 601.0
    node.fleet.helloed("peer", _hello())
    assert node.fleet.problems() == []


def test_a_minute_of_silence_earns_a_minute_of_bans_and_not_what_was_left_of_the_first_contact() -> None:
    node = _node(bans_per_minute=10, max_per_peer=100)
    node.fleet.helloed("peer", _hello())
    for _ in range(20):
        node.clock.now_s += 50.0
        node.fleet.helloed("peer", _hello())
    node.clock.now_s += 66.0
    _hear(node, *(_ban(f"198.51.100.{one}", node.clock.now_s) for one in range(60)))
    assert _breaker(node)
    assert node.held("peer") == set()


@pytest.mark.parametrize("by_operator", [True, False])
def test_what_was_too_much_for_the_budget_is_taken_once_the_peer_is_trusted_again(by_operator: bool) -> None:
    node = _node(bans_per_minute=10, max_per_peer=100, max_bantime_s=3 * 86400.0)
    node.fleet.helloed("peer", _hello())
    for _ in range(30):
        node.clock.now_s += 50.0
        node.fleet.helloed("peer", _hello())
    changes = [_ban(f"198.51.100.{one}", node.clock.now_s, node.clock.now_s + 2 * 86400.0) for one in range(50)]
    _hear(node, *changes)
    assert "10 bans a minute" in _breaker(node)
    if by_operator:
        assert node.fleet.trust("peer")
    else:
        node.clock.now_s += 86400.0
        node.fleet.peers.find("peer").heard_s = node.clock.now_s  # type: ignore[union-attr]
        assert node.fleet.tick(node.clock.now_s) == ["peer"]
    node.fleet.snapshot("peer", changes, is_first=True, is_last=True)
    node.work()
    assert (_breaker(node), len(node.held("peer"))) == ("", 50)


@pytest.mark.parametrize("list_id", [lambda _: b"", lambda turn: b"%d" % turn])
def test_an_allowlist_that_is_another_one_each_time_takes_bounded_room(list_id: object) -> None:
    allowlist = FleetAllowlist()
    for turn in range(5):
        listed = {f"10.{turn}.{one >> 8}.{one & 255}".encode(): b"" for one in range(MAX_ENTRIES)}
        if name := list_id(turn):  # type: ignore[operator]
            listed[b"list"] = name
        allowlist.follow(listed, NOW_S)
    assert len(allowlist._entries) <= MAX_ENTRIES
    assert allowlist.former <= MAX_ENTRIES
    assert len(allowlist.entries) == MAX_ENTRIES


@pytest.mark.parametrize("step_s", [-400 * 86400.0, -3600.0, 3600.0, 400 * 86400.0])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_clock_that_is_set_ends_no_pardon_and_trusts_nobody_and_prolongs_neither(
    step_s: float, restarts: bool
) -> None:
    node = _node()
    node.fleet.pardon([parse_network(A)], NOW_S + 3600.0, "a customer", NOW_S)
    _hear(node, *(_ban(f"203.0.113.{number}") for number in range(3)))
    node.clock.now_s += 60.0
    node.tick()
    if restarts and step_s > 0:  # it starts with a clock that is late, which is then set
        node.ahead_s = -step_s
        node.restart()
        node.ahead_s = 0.0
    else:
        node.ahead_s = step_s
    node.tick()
    assert _breaker(node)
    assert node.fleet.pardoned(parse_network(A), node.now()) is not None
    node.clock.now_s += 8 * 86400.0
    node.tick()
    assert not _breaker(node)
    assert node.fleet.pardoned(parse_network(A), node.now()) is None
