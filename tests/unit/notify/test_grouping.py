"""Events become messages: the first at once, digests later, never more than the limit; each event counts once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.notify.events import noted, unseen
from monitor.notify.gate import Gate
from monitor.notify.grouping import MAX_GROUPS, MAX_ITEMS, Grouping
from monitor.notify.message import Kind, Message, Urgency
from tests.support.notify import ban

EVERY_S = 300.0


def _take(grouping: Grouping, event: dict[str, object], now_s: float) -> list[Message]:
    found = noted(event)
    assert found is not None
    taken = grouping.take(found, now_s)
    return [taken[1]] if taken else []


def test_the_first_is_sent_at_once_and_the_rest_as_one_digest() -> None:
    """One ban is a message of its own; what follows in its group is one digest, each five minutes."""
    grouping = Grouping("node1", EVERY_S)
    (first,) = _take(grouping, ban(1), 0.0)
    assert (first.count, first.is_digest, first.items[0].network) == (1, False, "192.0.2.2")
    assert first.title.startswith("node1: ban 192.0.2.2 by sshd: 5 fail")
    assert first.items[0].why == "nodewarden why 192.0.2.2"
    assert first.event == ban(1)
    assert not any(_take(grouping, ban(number), float(number)) for number in range(2, 40))
    assert grouping.due(EVERY_S - 1) == []
    ((_, digest),) = grouping.due(EVERY_S)
    assert (digest.count, digest.is_digest, len(digest.items)) == (38, True, MAX_ITEMS)
    assert digest.items[-1].network == "192.0.2.40"
    assert "38 new bans (sshd, ban)" in digest.title
    assert grouping.due(2 * EVERY_S) == []
    assert len(_take(grouping, ban(50), 2 * EVERY_S + 1)) == 1


def test_groups_are_detectors_and_sets() -> None:
    """Another detector, or another set, is another group; a problem is always a message of its own."""
    grouping = Grouping("node1", EVERY_S)
    events = [ban(1), ban(2, "nginx"), ban(3, set="shun")]
    assert [len(_take(grouping, one, 0.0)) for one in events] == [1, 1, 1]
    problem = {"event": "problem", "number": 4, "time_s": 0.0, "text": "no table"}
    assert [len(_take(grouping, problem | {"text": text}, 0.0)) for text in ("one", "two", "one")] == [1, 1, 1]
    over = _take(grouping, problem | {"event": "problem_over"}, 0.0)
    assert (over[0].kind, over[0].items[0].reason) == (Kind.PROBLEM_OVER, "no table")


def test_groups_are_bounded() -> None:
    """Beyond the bound, further groups share one, and nothing is lost."""
    grouping = Grouping("node1", EVERY_S)
    messages = [one for n in range(2 * MAX_GROUPS) for one in _take(grouping, ban(n, f"detector{n}"), 0.0)]
    assert len(grouping.pending) == MAX_GROUPS + 1
    messages += [message for _, message in grouping.due(EVERY_S)]
    assert sum(message.count for message in messages) == 2 * MAX_GROUPS


def test_a_clock_that_is_set_back_delays_no_digest() -> None:
    """A digest that would be due in hours, by a clock that was wrong, is due now."""
    grouping = Grouping("node1", EVERY_S)
    _take(grouping, ban(1), 1e6)
    _take(grouping, ban(2), 1e6)
    assert [message.count for _, message in grouping.due(1000.0)] == [1]


def test_problems_pass_when_bans_are_over_the_limit() -> None:
    """Whoever causes many bans silences no problem: a fifth of the limit is kept for what is critical."""
    gate = Gate("node1", 10)
    grouping = Grouping("node1", EVERY_S)
    bans = [one for n in range(20) for one in _take(grouping, ban(n, f"detector{n}"), 0.0)]
    assert sum(gate.admit(one, 0.0) for one in bans) == 8
    problem = _take(grouping, {"event": "problem", "time_s": 0.0, "text": "no table"}, 0.0)[0]
    assert problem.urgency is Urgency.CRITICAL
    assert gate.admit(problem, 1.0)
    assert gate.due(3599.0) is None
    more = gate.due(3600.5)
    assert more is not None
    assert (more.count, more.is_digest) == (12, True)
    assert "12 more events, in 12 messages over the limit of 10 within an hour" in more.title
    assert gate.due(3600.5) is None


_STEP = st.tuples(st.sampled_from(["ban", "observe", "problem", "lost"]), st.integers(0, 3), st.floats(0, 900))


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEP, max_size=80), st.integers(1, 12))
def test_each_event_is_in_exactly_one_message(steps: list[tuple[str, int, float]], limit: int) -> None:
    """However events come, the counts of all messages add up to them, and no hour has more messages than the limit."""
    grouping, gate = Grouping("node1", EVERY_S), Gate("node1", limit)
    now_s, events, lost = 0.0, 0, 0
    sent: list[Message] = []

    def offer(messages: list[Message]) -> None:
        sent.extend(one for one in messages if gate.admit(one, now_s))

    def tick() -> None:
        sent.extend(filter(None, [gate.due(now_s)]))
        offer([message for _, message in grouping.due(now_s)])

    for word, number, passed_s in steps:
        now_s += passed_s
        tick()
        if word == "lost":
            lost += number
            taken = grouping.take(unseen(number), now_s) if number else None
        else:
            events += 1
            event = {"text": f"fault {number}"} | ban(number, f"d{number}") | {"event": word}
            found = noted(event)
            assert found is not None
            taken = grouping.take(found, now_s)
        offer([taken[1]] if taken else [])
    for _ in range(60):
        now_s += 900.0
        tick()
    assert sum(one.count for one in sent) == events
    assert sum(one.unseen for one in sent) == lost
    for one in sent:
        assert len(one.items) <= min(MAX_ITEMS, one.count)
        assert sum(one.time_s <= other.time_s < one.time_s + 3600 for other in sent) <= limit
