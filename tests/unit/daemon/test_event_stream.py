"""The event stream: bounded, numbered, complete in its kinds; what readers missed is told."""

import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.cli.events import events, line
from monitor.control.protocol import MAX_EVENTS_PAGE
from monitor.daemon.control.event_presentation import show_event, show_events
from monitor.daemon.life.health import ProblemWatch
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.event_pages import PAGE
from monitor.daemon.pipeline.event_stream import MAX_EVENTS, EventStream
from monitor.daemon.pipeline.listeners import Listener, Listeners
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, FloodAlert, Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Mode

NETWORK = parse_network("192.0.2.7")
EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures", ("root",))
ALERT = Alert("sshd", 9.0, parse_address("192.0.2.7"), NETWORK, True, Strength.PROVEN, EVIDENCE)
BAN = Ban(NETWORK, Strength.PROVEN, 10.0, 610.0, "sshd", "5 failures", Mode.ENFORCE, ClaimOrigin.DETECTOR)
LATER = msgspec.structs.replace(BAN, until_s=900.0)
FLOOD = FloodAlert("half_open", 12.0, "192.0.2.1:80", EVIDENCE)


def stream() -> EventStream:
    """Return a stream whose clock says 100."""
    return EventStream(show_event, lambda: 100.0)


def decided(verdict: Verdict, ban: Ban | None = BAN, **more: object) -> Decision:
    """Return a settled decision."""
    return Decision(verdict, NETWORK, "sshd", ban, ban, alert=ALERT, **more)  # type: ignore[arg-type]


CASES: dict[str, tuple[Callable[[EventStream], None], str]] = {
    "ban": (
        lambda one: one.settled([decided(Verdict.BAN)], 100.0),
        "ban 192.0.2.7 for 10m (sshd): 5 failures",
    ),
    "refresh": (lambda one: one.settled([decided(Verdict.REFRESH)], 100.0), "longer ban 192.0.2.7 for 10m"),
    "claim": (lambda one: one.settled([decided(Verdict.CLAIM)], 100.0), "claim on ban 192.0.2.7"),
    "observe": (lambda one: one.settled([decided(Verdict.OBSERVE)], 100.0), "would ban 192.0.2.7"),
    "over_budget": (lambda one: one.settled([decided(Verdict.OVER_BUDGET)], 100.0), "bans.budget is spent; would ban"),
    "allowlisted": (
        lambda one: one.settled([decided(Verdict.ALLOWLISTED, None, entry=AllowEntry(NETWORK, "office"))], 100.0),
        "not banning 192.0.2.7 (sshd): refused: 192.0.2.7 is on the allowlist (office)",
    ),
    "stale": (lambda one: one.settled([decided(Verdict.STALE, None)], 100.0), "the ban would be over already"),
    "full": (lambda one: one.settled([decided(Verdict.FULL, None)], 100.0), "bans.max_bans is reached"),
    "refused": (
        lambda one: one.settled([decided(Verdict.REFUSED, None, failure="set ban4 is full")], 100.0),
        "the kernel refused: set ban4 is full",
    ),
    "end": (
        lambda one: one.ended([Ended(BAN, (BAN,), Ending.LIFTED, LATER)]),
        "end of ban 192.0.2.7 (sshd): lifted (other claims keep it)",
    ),
    "flood": (lambda one: one.flooded(FLOOD, Mode.ENFORCE), "flood (half_open): 5 failures within 600 s"),
    "clock_step": (lambda one: one.moved([BAN, LATER]), "2 claims keep the time they had left"),
    "table_change": (
        lambda one: one.drifted(Counter({("table_gone", "nft (pid 7)"): 2})),
        "nft (pid 7) changed the table: table_gone (2 times)",
    ),
    "problem": (lambda one: one.troubled(["events are lost"], []), "problem: events are lost"),
    "trial": (
        lambda one: one.tried("try.yaml", "time", "going back: nobody confirmed it in time"),
        "trial configuration try.yaml: going back: nobody confirmed it in time",
    ),
    "problem_over": (lambda one: one.troubled([], ["events are lost"]), "problem over: events are lost"),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_kind_is_shown(kind: str) -> None:
    """Each kind reaches readers as JSON with its name, number and time, and as a line for people."""
    some = stream()
    tell, text = CASES[kind]
    tell(some)
    (event,) = json.loads(msgspec.json.encode(show_events(some, 0, None)))["events"]
    assert (event["event"], event["number"]) == (kind, 1)
    assert event["time_s"] in (12.0, 100.0)
    assert text in line(event)


def test_every_verdict_and_method_has_a_case() -> None:
    """A new verdict or a new call to listeners has to be decided on here."""
    silent = {Verdict.COVERED}
    assert {verdict.value for verdict in Verdict if verdict not in silent} <= set(CASES)
    told = {"settled", "ended", "flooded", "moved", "drifted", "troubled", "tried"}
    methods = {name for name in vars(Listener) if not name.startswith("_") and name != "name"}
    assert methods - told == {"alerted", "flushed", "tick"}
    assert told <= set(vars(EventStream))
    some = stream()
    some.settled([decided(Verdict.COVERED)], 100.0)
    assert some.last == 0


def test_it_is_bounded_and_tells_what_is_lost() -> None:
    """However much happens, the newest are kept; a reader that was too slow learns how many it missed."""
    some = stream()
    newest = MAX_EVENTS + 2 * PAGE + 10
    some.ended([Ended(BAN, (BAN,), Ending.EXPIRED)] * newest)
    first = show_events(some, 0, None)
    events: list[dict[str, Any]] = []
    after, lost = 0, 2 * PAGE
    assert (first["lost"], first["last"], first["more"]) == (lost, lost + MAX_EVENTS_PAGE, True)
    while len(page := show_events(some, after, None)["events"]) == MAX_EVENTS_PAGE:
        events, after = events + page, page[-1]["number"]
    assert [event["number"] for event in events + page] == list(range(lost + 1, newest + 1))
    assert {event["network"] for event in events} == {str(BAN.network)}
    page = show_events(some, newest - 10, None)
    assert (len(page["events"]), page["last"], page["more"]) == (10, newest, False)
    page = show_events(some, lost + 300, None)
    assert (page["events"][0]["number"], page["lost"]) == (lost + 301, 0)
    page = show_events(some, some.last, None)
    assert (page["events"], page["lost"]) == ([], 0)


def test_older_events_are_as_they_were() -> None:
    """Packed events look like those that are not, also with text that is no UTF-8, and keep to `since_s`."""
    some = stream()
    some.settled([decided(Verdict.BAN)], 50.0)
    some.troubled(["no file \udcff"], [])
    (ban, problem) = show_events(some, 0, None)["events"]
    some.ended([Ended(BAN, (BAN,), Ending.EXPIRED)] * (MAX_EVENTS - 2))
    page = show_events(some, 0, None)
    assert page["events"][0] == msgspec.json.decode(msgspec.json.encode(ban))
    assert page["events"][1] == problem | {"text": r"no file \udcff"}
    assert show_events(some, 0, 60.0)["events"][0]["number"] == 2


def test_only_what_is_new_enough() -> None:
    """`since_s` leaves out older events."""
    some = stream()
    some.settled([decided(Verdict.BAN)], 50.0)
    some.settled([decided(Verdict.REFRESH)], 60.0)
    assert [event["event"] for event in show_events(some, 0, 55.0)["events"]] == ["refresh"]


def test_a_failing_listener_keeps_nothing_from_the_others() -> None:
    """What one raises is counted under its name; those after it are told all the same."""

    class Broken(Listener):
        name = "broken"

        def drifted(self, changes: Counter[tuple[str, str]]) -> None:
            raise KeyError(changes)

    some = stream()
    listeners = Listeners([Broken(), some])
    listeners.drifted(Counter({("table_gone", "nft"): 1}))
    assert (listeners.errors["broken"], listeners.errors["events"], some.last) == (1, 0, 1)


def test_a_problem_whose_numbers_change_is_the_same() -> None:
    """A problem appears once and is over once, with the same text, whatever its counts say in between."""
    watch = ProblemWatch()
    assert watch.changes(["3 batches were lost"]) == (["3 batches were lost"], [])
    assert watch.changes(["4 batches were lost", "no table"]) == (["no table"], [])
    assert watch.changes([]) == ([], ["3 batches were lost", "no table"])


def test_numbers_in_names_tell_problems_apart() -> None:
    """An interface, an address or a port is no count."""
    for one, other in (("off on eth0", "off on eth1"), ("no 192.0.2.1", "no 192.0.2.2"), ("no 0:80", "no 0:81")):
        watch = ProblemWatch()
        watch.changes([one])
        assert watch.changes([other]) == ([other], [one])


class _Target:
    """Answers as a daemon with this stream does."""

    def __init__(self, kept: EventStream) -> None:
        self._kept = kept

    def ask(self, request: Any) -> dict[str, Any]:
        """Return the page asked for."""
        return show_events(self._kept, request.after, request.since_s)


@pytest.mark.parametrize(("time_s", "is_told"), [(0.0, False), (9e9, True)])
def test_lost_events_are_reported_only_if_they_may_be_in_range(time_s: float, is_told: bool) -> None:
    """With --since, events that are no longer kept matter only if the oldest kept event is in range too."""
    kept = EventStream(show_event, lambda: time_s)
    kept.ended([Ended(BAN, (BAN,), Ending.EXPIRED)] * (MAX_EVENTS + PAGE))
    result = CliRunner().invoke(events, ["--since", "10m"], obj=_Target(kept))
    assert result.exit_code == 0
    assert ("256 earlier events are no longer kept" in result.output) is is_told


def test_a_ban_without_a_reason_ends_its_line_with_the_detector(caplog: pytest.LogCaptureFixture) -> None:
    """An operator need not give a reason; nothing is then announced by a colon."""
    ban = msgspec.structs.replace(BAN, reason="")
    with caplog.at_level(logging.INFO):
        DecisionLog().settled([decided(Verdict.BAN, ban)], 100.0)
    assert caplog.messages[0].endswith(" (sshd)")
