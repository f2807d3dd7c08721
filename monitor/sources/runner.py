"""The runner of a source: it opens, waits for and reads the source, reopens what failed and saves the cursor."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from monitor.metrics.metric import Metric, Sample
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.problems import ProblemKind
from monitor.model.retry import Backoff
from monitor.sources import metrics

_log = logging.getLogger(__name__)
_LOSS_SHOWN_S = 600.0
_FAILURES = (*SYSTEM_FAULTS, ValueError)
"""What a source may raise; ValueError: for a saved cursor, which must not keep the daemon from starting."""

Process: TypeAlias = Callable[[Iterable[Any]], None]
"""Takes a batch of events. A fault while it iterates over them costs this batch, not the daemon."""


class Source(Protocol):
    """A reader that can be waited for."""

    is_drained: bool
    """Whether the last read took all there was."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


SourceT = TypeVar("SourceT", bound=Source)
SettingsT = TypeVar("SettingsT")


class SourceRunner(ABC, Generic[SourceT, SettingsT]):
    """Owns one source: reads it when it is readable, reopens it when it fails. Other sources are not affected."""

    name: ClassVar[str]
    """In metrics, status and state."""
    title: ClassVar[str]
    """In sentences."""
    counters: ClassVar[dict[str, Metric]] = metrics.COUNTERS
    """The metrics of its counters, by their names in `stats`."""
    stats: Any
    """What the source counted: `malformed` and what `counters` name; it survives reopening."""

    def __init__(self, process: Process, stats: Any) -> None:
        """Open nothing yet; `process` takes the events, `stats` is what sources count in."""
        self.stats = stats
        self._process = process
        self._source: SourceT | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again: asyncio.Handle | None = None
        self._trouble = ""
        self._backoff = Backoff()
        self._lost_known = 0
        self._lossy_until_s = float("-inf")

    @property
    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether there is anything to read it for."""

    @property
    def state(self) -> str:
        """Its state: `up`, `off` (nothing uses it), `down` (it failed)."""
        return "up" if self._source else "down" if self._trouble else "off"

    @property
    def rest_s(self) -> float:
        """How long to wait after everything was read: reading many records at once costs less."""
        return 0.0

    @property
    def notices(self) -> list[str]:
        """What operators should know although the source works, a sentence each."""
        return []

    @property
    def waiting(self) -> list[str]:
        """Patterns of files that do not exist yet."""
        return []

    def open(self) -> None:
        """Start reading after the saved cursor; a failure is reported, and opening is tried again."""
        self._load_cursor()
        if self.is_wanted:
            self._try_open()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on whenever there is something to read."""
        self._loop = loop
        self._guarded(self._listen)

    def close(self) -> None:
        """Stop reading and save the cursor."""
        self._settle()

    def fail(self, error: Exception) -> None:
        """Close the source, since it failed in use elsewhere; it is opened again like after a failure of its own."""
        self._settle()
        self._fail(explain(error))

    def poll(self) -> None:
        """Take what waits now, without waiting for the loop."""
        self._guarded(self._take)

    @abstractmethod
    def reconfigure(self, settings: SettingsT) -> None:
        """Follow changed settings of its own without losing the cursor."""

    def has_news(self) -> bool:
        """Return whether a tick has something to do that nothing else reports."""
        return bool(self._trouble) or self.stats.lost != self._lost_known

    @property
    def descriptor(self) -> int | None:
        """The descriptor that it waits on; None while it is closed."""
        return None if self._source is None else self._source.fileno()

    def watched(self) -> Sequence[tuple[int, int]] | None:
        """Return the files to look at while nothing happens, with their lengths; None if ticks are due."""
        return None if self.has_news() else ()

    def tick(self) -> None:
        """Retry what failed, save the cursor, check for losses; call it each second, or when it `has_news`."""
        now_s = time.monotonic()
        if self.stats.lost != self._lost_known:
            self._lost_known = self.stats.lost
            self._lossy_until_s = now_s + _LOSS_SHOWN_S
        if self._trouble and self._backoff.is_due:
            self._try_open()
        self._guarded(self._maintain)
        self._come_back()
        self._save_cursor()

    @property
    def is_settled(self) -> bool:
        """Whether the cursor is where events were handed on to, not before."""
        return True

    def problems(self) -> list[str]:
        """Say why it cannot be read."""
        return [f"reading {self.title} failed: {self._trouble}"] if self._trouble else []

    def losses(self) -> list[str]:
        """Say that records were lost within the last minute."""
        return [self._explain_loss()] if time.monotonic() < self._lossy_until_s else []

    def by_kind(self) -> dict[ProblemKind, list[str]]:
        """Return what is wrong, by kind."""
        return {ProblemKind.SOURCE: self.problems(), ProblemKind.RECORDS_LOST: self.losses()}

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status.

        Runners add `events`, `lag_s` (None: not known) and `other`: counts to show only if they are not 0.
        """
        stats = self.stats
        malformed = stats.malformed
        return {
            "name": self.name,
            "state": self.state,
            "trouble": self._trouble,
            "records": stats.records,
            "lost": stats.lost,
            "malformed": sum(malformed.values()) if isinstance(malformed, dict) else malformed,
        }

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        label = (self.name,)
        yield metrics.UP.name, label, float(self._source is not None)
        for counter, metric in self.counters.items():
            yield metric.name, label, getattr(self.stats, counter)
        malformed = self.stats.malformed
        for cause, count in (malformed if isinstance(malformed, dict) else {"unreadable": malformed}).items():
            yield metrics.MALFORMED.name, (self.name, cause), count

    @abstractmethod
    def _make(self) -> SourceT:
        """Open the source at the cursor; raise one of _FAILURES if that fails."""

    @abstractmethod
    def _take(self, source: SourceT) -> None:
        """Read a bounded batch and hand on its events; raise one of _FAILURES if the source fails."""

    @abstractmethod
    def _explain_loss(self) -> str:
        """Say what was lost and what helps."""

    def _load_cursor(self) -> None:
        """Take over the saved cursor. By default a source has none and reads from now on."""

    def _save_cursor(self) -> None:
        """Save the cursor if it moved: everything before it has been handed on."""

    def _maintain(self, source: SourceT) -> None:
        """Do what is due each second while the source is open."""

    def _renew(self) -> None:
        """Open with changed settings, at the same cursor; or stop, if nothing wants it any more."""
        self._settle()
        self._trouble = ""
        if self.is_wanted:
            self._try_open()

    def _try_open(self) -> None:
        try:
            self._source = self._make()
            if self._loop:
                self._listen(self._source)
        except _FAILURES as error:
            self._release()
            self._fail(explain(error))
            return
        if self._trouble:
            _log.info("reading %s again", self.title)
        self._trouble = ""

    def _listen(self, source: SourceT) -> None:
        """Read when the source becomes readable, and what waits already: some sources wake nobody for that."""
        self._hear(source)
        assert self._loop is not None  # noqa: S101 - both callers know
        self._again = self._again or self._loop.call_soon(self._readable)

    def _hear(self, source: SourceT) -> None:
        """Read when the source becomes readable, and only then: an idle one costs nothing."""
        assert self._loop is not None  # noqa: S101 - both callers know
        self._loop.add_reader(source.fileno(), self._readable)

    def _readable(self) -> None:
        """Take what waits, a bounded batch at a time; the loop serves others before it returns for more."""
        if self._again:
            self._again.cancel()
            self._again = None
        self._guarded(self._take)
        if self._source and self._loop and self.rest_s and not self._has_more(self._source):
            self._loop.remove_reader(self._source.fileno())
            self._again = self._loop.call_later(self.rest_s, self._wake)
        else:
            self._come_back()

    def _wake(self) -> None:
        """Wait again after a rest."""
        self._again = None
        self._guarded(self._hear)

    def _come_back(self) -> None:
        """Have the loop call again if there is more to take."""
        if self._source and self._loop and not self._again and self._has_more(self._source):
            self._again = self._loop.call_soon(self._readable)

    def _has_more(self, source: SourceT) -> bool:
        """Whether there is something left to take, although the descriptor may not be readable."""
        return not source.is_drained

    def _guarded(self, use: Callable[[SourceT], None]) -> None:
        """Use the source if it is open; if it fails, close it until the next attempt."""
        if self._source is None:
            return
        try:
            use(self._source)
        except _FAILURES as error:
            self.fail(error)

    def _fail(self, trouble: str) -> None:
        pause_s = self._backoff.failed()
        if trouble != self._trouble:
            _log.error("reading %s failed: %s; trying again in %.0f s", self.title, trouble, pause_s)
        self._trouble = trouble

    def _settle(self) -> None:
        """Close the source; reading can continue at the cursor that is saved now."""
        self._save_cursor()
        self._release()

    def _release(self) -> None:
        """Close the source if it is open."""
        source, self._source = self._source, None
        if self._again:
            self._again.cancel()
            self._again = None
        if source:
            if self._loop:
                self._loop.remove_reader(source.fileno())
            try:
                source.close()
            except OSError as error:  # the descriptor is gone all the same: close(2)
                _log.warning("closing %s failed: %s", self.title, explain(error))
