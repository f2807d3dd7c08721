"""When the connection table is listed for bytes of flows that run, and what a failure costs."""

from collections.abc import Callable

import pytest

from monitor.model.errors import TemporaryError
from monitor.model.flows import Flow, FlowListed
from monitor.sources.conntrack.running import RunningFlows
from tests.support.flows import flow

COUNTED = flow(FlowListed, original_bytes=7)
BARE = flow(FlowListed)


class Listed:
    """Stands for a dump of the kernel in parts, the last of which ends it."""

    def __init__(self, *parts: list[Flow], is_interrupted: bool = False) -> None:
        self.is_done, self.is_interrupted = False, is_interrupted
        self._parts = list(parts)

    def read(self, _limit: int) -> list[Flow]:
        """Return the next part."""
        part = self._parts.pop(0)
        self.is_done = not self._parts
        return part

    def close(self) -> None:
        """End it."""


class Table:
    """The kernel's table, with a clock: each listing takes the next of what it has to show."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *listings: Callable[[], Listed]) -> None:
        self.now_s = 0.0
        self.taken: list[tuple[list[Flow], bool]] = []
        waiting = list(listings)
        monkeypatch.setattr("monitor.sources.conntrack.running.Listing", lambda _: waiting.pop(0)())
        self.running = RunningFlows(lambda flows, is_end: self.taken.append((flows, is_end)), lambda: self.now_s)

    def after(self, seconds: float) -> list[tuple[list[Flow], bool]]:
        """Step once, so much later; return what was taken."""
        self.now_s += seconds
        self.taken.clear()
        self.running.step()
        return list(self.taken)


def test_a_listing_is_read_a_little_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one starts half a minute after its end; flows without counters are left out."""
    table = Table(monkeypatch, lambda: Listed([COUNTED], [COUNTED, BARE]), lambda: Listed([COUNTED]))
    assert (table.after(0.0), table.running.is_listing) == ([([COUNTED], False)], True)
    assert (table.after(1.0), table.running.is_listing) == ([([COUNTED], True)], False)
    assert table.after(29.0) == []
    assert table.after(1.0) == [([COUNTED], True)]


def test_an_interrupted_listing_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries may be missing from it, so nothing is forgotten."""
    table = Table(monkeypatch, lambda: Listed([COUNTED], is_interrupted=True))
    assert table.after(0.0) == [([COUNTED], False)]


def test_without_counters_it_is_tried_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not count bytes: a look every ten minutes finds out when it does."""
    table = Table(monkeypatch, lambda: Listed([BARE]), lambda: Listed([COUNTED]))
    assert table.after(0.0) == [([], True)]
    assert table.after(599.0) == []
    assert table.after(1.0) == [([COUNTED], True)]


def test_a_failure_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events go on: only bytes come later."""

    def refuse() -> Listed:
        raise TemporaryError("no memory")

    table = Table(monkeypatch, refuse, lambda: Listed([COUNTED]))
    assert table.after(0.0) == []
    assert table.after(29.0) == []
    assert table.after(1.0) == [([COUNTED], True)]
