"""Keeps the last events for `nodewarden events`: a listener.

An event is a decision, an end of a ban, a flood, a clock step, a change of the table by another program, a problem that
appeared or is over, or what became of a trial configuration. Readers ask for what is newer than the last event that
they have, so a slow reader costs the daemon nothing. docs/events.md describes what they get.

As an object an event takes up to 1.3 kB. So only the newest are objects, and older ones are packed, 256 at a time: a
burst of ten thousand bans leaves a reader that asks every half second nothing to miss, and takes 4 MB, not 20.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from monitor.bans.decision import Decision, Ended, Verdict
from monitor.daemon.pipeline.event_pages import PAGE, EventPage, pack
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.alerts import FloodAlert
from monitor.model.bans import Ban, Mode
from monitor.model.parts import in_parts

MAX_EVENTS = 16_384
_OBJECTS = 2048
_PAGES = (MAX_EVENTS - _OBJECTS) // PAGE
_GONE = 4096
"""Of how many pages that gave way it is known which of their events were news, in 150 bytes each."""


class ClockStep(msgspec.Struct, frozen=True):
    """The clock was set; `bans` claims have other times now."""

    bans: int


class TableChange(msgspec.Struct, frozen=True):
    """Another program changed the table; the change is being reverted."""

    kind: str
    author: str
    count: int


class Problem(msgspec.Struct, frozen=True):
    """A problem of `status` that appeared or is over."""

    text: str
    is_over: bool


class TrialChange(msgspec.Struct, frozen=True):
    """A trial configuration is in force, or ended; `what` is `started` or its result."""

    name: str
    what: str
    text: str


What = Decision | Ended | FloodAlert | ClockStep | TableChange | Problem | TrialChange


class StreamEvent(msgspec.Struct, frozen=True):
    """One event; `number` increases by one with each, `time_s` is wall time."""

    number: int
    time_s: float
    what: What


class EventStream(Listener):
    """The last MAX_EVENTS events since the start of the daemon; older ones give way."""

    name = "events"

    def __init__(self, show: Callable[[StreamEvent], dict[str, Any]], clock: Callable[[], float] = time.time) -> None:
        """`show` returns an event as readers get it. `clock` gives wall time, for what has no time of its own."""
        self._show = show
        self._clock = clock
        self._older: deque[EventPage] = deque()
        self._gone: deque[EventPage] = deque(maxlen=_GONE)
        self._events: deque[StreamEvent] = deque()
        self.name_of_run = f"{clock():.6f}"
        """Differs after a restart, when numbers begin again."""
        self.last = 0
        """The number of the newest event; 0 without any."""

    def after(self, number: int, since_s: float = float("-inf")) -> Iterator[dict[str, Any]]:
        """Yield the kept events with a higher number that are not older than `since_s`, oldest first."""
        for page in self._older:
            if page.last > number and page.newest_s >= since_s:
                yield from (one for one in page.events() if one["number"] > number and one["time_s"] >= since_s)
        known = max(0, number - (self.last - len(self._events)))
        yield from (self._show(one) for one in islice(self._events, known, None) if one.time_s >= since_s)

    def lost_after(self, number: int) -> int:
        """Return how many events with a higher number are no longer kept."""
        kept = sum(page.size for page in self._older) + len(self._events)
        return max(0, self.last - kept - number)

    def lost_news_after(self, number: int) -> int:
        """Return how many of the events that `lost_after` counts were news for people; all that nobody knows, too."""
        lost = self.lost_after(number)
        known = sum(page.size for page in self._gone)
        known_from = self.last - len(self._events) - sum(page.size for page in self._older) - known
        found = max(0, min(known_from - number, lost))
        for page in reversed(self._gone):
            if page.last <= number:
                break
            found += page.news_after(number)
        return found

    def pages(self) -> list[EventPage]:
        """Return all kept events, packed, oldest first; packing the newest takes up to 20 ms."""
        return [*self._older, *(pack([self._show(one) for one in some]) for some in in_parts(list(self._events), PAGE))]

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Keep decisions; that a ban covers further alerts is no event."""
        for decision in decisions:
            if decision.verdict is not Verdict.COVERED:
                self._keep(decision, done_s)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Keep ends."""
        now_s = self._clock()
        for one in ended:
            if not one.is_displaced:
                self._keep(one, now_s)

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:  # noqa: ARG002 - the listener's
        """Keep a flood."""
        self._keep(alert, alert.time_s)

    def moved(self, claims: Sequence[Ban]) -> None:
        """Keep a clock step."""
        self._keep(ClockStep(len(claims)), self._clock())

    def drifted(self, changes: Counter[tuple[str, str]]) -> None:
        """Keep the changes of other programs."""
        for (kind, author), count in changes.items():
            self._keep(TableChange(kind, author, count), self._clock())

    def troubled(self, appeared: Sequence[str], passed: Sequence[str]) -> None:
        """Keep changes of the problems."""
        for texts, is_over in ((passed, True), (appeared, False)):
            for text in texts:
                self._keep(Problem(text, is_over), self._clock())

    def tried(self, name: str, what: str, text: str) -> None:
        """Keep what became of a trial configuration."""
        self._keep(TrialChange(name, what, text), self._clock())

    def _keep(self, what: What, time_s: float) -> None:
        self.last += 1
        self._events.append(StreamEvent(self.last, time_s, what))
        if len(self._events) >= _OBJECTS + PAGE:
            self._older.append(pack([self._show(self._events.popleft()) for _ in range(PAGE)]))
        if len(self._older) > _PAGES:
            self._gone.append(self._older.popleft()._replace(content=b""))
