"""What is held follows LAPI, whatever is lost on the way."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.crowdsec.claims import Claim, Outcome
from monitor.crowdsec.errors import LapiError
from monitor.crowdsec.pulled import Place, Plan, Pulled
from monitor.crowdsec.settings import CrowdsecSettings
from monitor.model.addresses import host, parse_address
from monitor.model.alerts import Strength
from monitor.model.bans import Mode, ban_key

SETTINGS = CrowdsecSettings(url="http://lapi", bouncer_key_file="/key", mode=Mode.ENFORCE, max_decisions=5000)


class Server:
    """LAPI as far as its stream goes: decisions by number, and a cursor that moves with each answer."""

    def __init__(self) -> None:
        self.decisions: dict[int, tuple[str, str, float]] = {}
        """Value, origin and end by number."""
        self._new: list[int] = []
        self._deleted: list[tuple[int, str, str]] = []
        self._last = 0

    def add(self, value: str, until_s: float, origin: str = "crowdsec") -> int:
        """Decide; return the number."""
        self._last += 1
        self.decisions[self._last] = value, origin, until_s
        self._new.append(self._last)
        return self._last

    def delete(self, number: int) -> None:
        """Delete a decision."""
        value, origin, _ = self.decisions.pop(number)
        self._deleted.append((number, value, origin))

    def wipe(self) -> None:
        """Lose the database: numbers begin at 1 again."""
        self.decisions.clear()
        self._new, self._deleted, self._last = [], [], 0

    def answer(self, now_s: float, *, whole: bool) -> bytes:
        """Answer, and move the cursor."""
        new = [number for number in (list(self.decisions) if whole else self._new) if number in self.decisions]
        deleted = self._deleted
        self._new, self._deleted = [], []
        return json.dumps(
            {
                "new": [
                    self._show(number, *self.decisions[number][:2], self.decisions[number][2] - now_s) for number in new
                ]
                or None,
                "deleted": [self._show(*one, -1.0) for one in deleted] or None,
            }
        ).encode()

    def _show(self, number: int, value: str, origin: str, left_s: float) -> dict[str, object]:
        return {"id": number, "origin": origin, "type": "ban", "scope": "Ip", "value": value, "scenario": "a/b",
                "duration": f"{left_s:.3f}s"}  # fmt: skip


class Node:
    """Carries out plans."""

    def __init__(self) -> None:
        self.pulled = Pulled(SETTINGS)
        self.held: dict[Place, float] = {}

    def take(self, answer: bytes, now_s: float, *, whole: bool) -> Plan:
        """Follow an answer that came in two pieces."""
        pieces = [answer[: len(answer) // 2], answer[len(answer) // 2 :]]
        plan = self.pulled.whole(pieces, now_s) if whole else self.pulled.changes(pieces, now_s)
        for place in plan.ended:
            self.held.pop(place, None)
        self.held |= {(claim.key, claim.name): claim.until_s for claim in plan.wanted}
        return plan

    def at(self, now_s: float) -> dict[Place, int]:
        """Return what is held at this time, with ends in whole seconds."""
        return {place: round(until_s) for place, until_s in self.held.items() if until_s > now_s}


def wanted(server: Server, now_s: float) -> dict[Place, int]:
    """Return what should be held, after LAPI's decisions."""
    ends: dict[Place, int] = {}
    for value, _, until_s in server.decisions.values():
        if until_s > now_s:
            place = ban_key(host(parse_address(value)), Strength.SPOOFABLE), "crowdsec/lapi"
            ends[place] = max(ends.get(place, 0), round(until_s))
    return ends


OPERATIONS = st.lists(
    st.sampled_from(["add", "add", "add", "delete", "pull", "pull", "lose", "wipe", "wait"]), max_size=40
)


@given(OPERATIONS, st.integers(0, 2**32))
def test_after_a_whole_answer_exactly_the_decisions_of_lapi_are_held(operations: list[str], seed: int) -> None:
    """Several decisions on one address, answers that are lost, a wiped database: the ends are those of LAPI."""
    draw, server, node, now_s = random.Random(seed), Server(), Node(), 1000.0
    is_exact, needs_whole = True, True
    for operation in operations:
        match operation:
            case "add":
                server.add(f"203.0.113.{draw.randrange(6)}", now_s + draw.randrange(10, 5000))
            case "delete" if server.decisions:
                server.delete(draw.choice(list(server.decisions)))
            case "pull":
                node.take(server.answer(now_s, whole=needs_whole), now_s, whole=needs_whole)
                is_exact, needs_whole = is_exact or needs_whole, False
                if is_exact:
                    assert node.at(now_s) == wanted(server, now_s)
            case "lose":
                server.answer(now_s, whole=False)
                needs_whole = True
            case "wipe":
                server.wipe()
                is_exact = False
            case _:
                now_s += 100.0
    node.take(server.answer(now_s, whole=True), now_s, whole=True)
    assert node.at(now_s) == wanted(server, now_s)


def claims(count: int) -> list[Claim]:
    """Return claims of an earlier run."""
    keys = [ban_key(host(bytes((203, 0, 113, number))), Strength.SPOOFABLE) for number in range(count)]
    return [Claim(key, "crowdsec/lapi", 5000.0, "earlier") for key in keys]


def test_most_of_what_is_held_ends_only_if_lapi_says_so_twice() -> None:
    """An answer that is cut short inside LAPI, or an empty database, must not end all protection at once."""
    server, node = Server(), Node()
    node.pulled.seed(claims(100))
    server.add("203.0.113.1", 5000.0)
    plan = node.take(server.answer(0.0, whole=True), 0.0, whole=True)
    assert (plan.is_doubted, plan.ended, len(node.pulled)) == (True, [], 100)
    plan = node.take(server.answer(1.0, whole=True), 1.0, whole=True)
    assert (plan.is_doubted, len(plan.ended), len(node.pulled)) == (False, 99, 1)


def test_a_doubted_answer_that_is_made_good_ends_nothing() -> None:
    """The next complete one has all again."""
    server, node = Server(), Node()
    for number in range(100):
        server.add(f"203.0.113.{number}", 5000.0)
    node.take(server.answer(0.0, whole=True), 0.0, whole=True)
    assert node.take(b'{"new":[],"deleted":[]}', 1.0, whole=True).is_doubted
    plan = node.take(server.answer(2.0, whole=True), 2.0, whole=True)
    assert (plan.ended, len(node.at(2.0)), len(node.pulled)) == ([], 100, 100)


def test_few_claims_of_an_earlier_run_end_at_once() -> None:
    """What LAPI no longer has, and was deleted while we were away."""
    node = Node()
    node.pulled.seed(claims(3))
    plan = node.take(Server().answer(0.0, whole=True), 0.0, whole=True)
    assert (len(plan.ended), plan.is_doubted) == (3, False)


def test_a_delete_ends_only_its_own_decision() -> None:
    """The number counts, and the origin: after a wipe, numbers mean others."""
    server, node = Server(), Node()
    number = server.add("203.0.113.1", 5000.0)
    node.take(server.answer(0.0, whole=True), 0.0, whole=True)
    for other in (
        {"id": number, "origin": "CAPI"},
        {"id": number + 1, "origin": "crowdsec"},
    ):
        gone = {"type": "ban", "scope": "Ip", "value": "203.0.113.1", "duration": "-1s", **other}
        plan = node.take(json.dumps({"new": None, "deleted": [gone]}).encode(), 0.0, whole=False)
        assert plan.ended == []
    assert len(node.pulled) == 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_malformed_answer_changes_nothing(whole: bool) -> None:
    """Not even the part of it that could be read."""
    server, node = Server(), Node()
    server.add("203.0.113.1", 5000.0)
    node.take(server.answer(0.0, whole=True), 0.0, whole=True)
    server.add("203.0.113.2", 5000.0)
    with pytest.raises(LapiError):
        node.take(server.answer(1.0, whole=whole)[:-20], 1.0, whole=whole)
    assert (len(node.pulled), len(node.held)) == (1, 1)


@pytest.mark.parametrize(("mode", "limit"), [(Mode.ENFORCE, 2500), (Mode.OBSERVE, 2048)])
def test_what_is_held_is_bounded(mode: Mode, limit: int) -> None:
    """The rest is counted, in both kinds of answers; while observing it takes little room from our own detectors."""
    settings = CrowdsecSettings(url="http://lapi", bouncer_key_file="/key", mode=mode, max_decisions=2500)
    server, pulled = Server(), Pulled(settings)
    for number in range(3000):
        server.add(f"203.0.{number >> 8}.{number & 255}", 5000.0)
    plan = pulled.whole([server.answer(0.0, whole=True)], 0.0)
    assert (len(pulled), plan.outcomes[Outcome.SURPLUS]) == (limit, 3000 - limit)
    server.add("198.51.100.1", 5000.0)
    plan = pulled.changes([server.answer(0.0, whole=False)], 0.0)
    assert (len(pulled), plan.outcomes[Outcome.SURPLUS], plan.wanted) == (limit, 1, [])


def test_a_bad_decision_costs_that_decision() -> None:
    """The others are taken."""
    good = {"id": 1, "origin": "crowdsec", "type": "ban", "scope": "Ip", "value": "203.0.113.1", "duration": "1h"}
    bad = [{"id": "x"}, {}, {**good, "id": 2, "value": None}, {**good, "id": 3, "duration": 7}]
    plan = Pulled(SETTINGS).whole([json.dumps({"new": [*bad, good], "deleted": None}).encode()], 0.0)
    assert (len(plan.wanted), plan.outcomes) == (1, {Outcome.MALFORMED: 4})
