"""The events of the runs before, for a notifier that did not hear their end: in `STATE/former_events`.

Numbers of events start again with each run. A notifier that was killed, or had not asked for half a second when the
daemon stopped, would miss what happened last. So a daemon that stops leaves its events to the next one, if there is a
channel. One that is killed leaves none.
"""

import logging
import zlib
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import msgspec

from monitor.control.protocol import MAX_EVENTS_PAGE
from monitor.daemon.control.event_presentation import show_events
from monitor.daemon.pipeline.event_pages import EventPage
from monitor.daemon.pipeline.event_stream import MAX_EVENTS, EventStream
from monitor.files.regular import read_regular
from monitor.files.replaced import replace_file
from monitor.model.errors import explain

FILE_NAME = "former_events"
_MAX_BYTES = 64 << 20
_MAX_RUNS = 4
"""A daemon that is restarted again and again in the seconds that a notifier takes to start."""
_MODE = 0o600
_log = logging.getLogger(__name__)


class _Page(msgspec.Struct, frozen=True, array_like=True):
    """Events that follow each other, as in `EventPage`."""

    last: int
    size: int
    content: bytes


class _Run(msgspec.Struct, frozen=True, array_like=True):
    """What a run of the daemon kept; `last` is the number of its newest event."""

    name: str
    last: int
    pages: list[_Page]

    def after(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield the kept events with a higher number, oldest first. ValueError or zlib.error if they are damaged."""
        for page in self.pages:
            if page.last > number:
                events = EventPage(page.last, 0.0, page.size, 0, page.content).events()
                yield from (one for one in events if one["number"] > number)

    def lost_after(self, number: int) -> int:
        """Return how many events with a higher number are not kept."""
        return max(0, self.last - number - sum(page.size for page in self.pages))


class FormerEvents:
    """Reads them when the daemon starts, and writes them when it stops. All methods are for the loop's thread."""

    def __init__(self, path: Path, stream: EventStream) -> None:
        """`path` is the file, `stream` has the events of this run. Read nothing yet."""
        self._path = path
        self._stream = stream
        self._runs: list[_Run] = []
        self._is_open = False

    def open(self) -> None:
        """Read what the runs before left, once; a file that cannot be used is as if there were none."""
        if self._is_open:
            return
        self._is_open = True
        try:
            self._runs = _decoder.decode(read_regular(self._path, _MAX_BYTES))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.error("%s cannot be used, so notifications about the last run may be lost: %s", self._path, error)

    def close(self, *, is_wanted: bool) -> None:
        """Leave the events to the next run, if there is somebody who wants them."""
        if not self._is_open:  # another daemon runs, or the configuration is faulty
            return
        try:
            if is_wanted:
                replace_file(self._path, msgspec.msgpack.encode(self._kept()), mode=_MODE)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("%s cannot be written, so notifications may be lost: %s", self._path, explain(error))

    def after(self, run: str, number: int) -> dict[str, Any]:
        """Show a page of the events after one of a former run: those of that run, then those of newer ones.

        What came before the run that is asked for was heard. A run that left nothing was killed.
        """
        self.open()
        self._runs = self._since(run)
        for known in tuple(self._runs):
            if page := self._page(known, number if known.name == run else 0):
                return page
            self._runs.remove(known)
        return show_events(self._stream, 0, None)

    def _since(self, run: str) -> list[_Run]:
        """Return a run and those after it. Their order says which: a clock that was set back does not."""
        names = [one.name for one in self._runs]
        if run in names:
            return self._runs[names.index(run) :]
        return [one for one in self._runs if _started_s(one.name) >= _started_s(run)]

    def _page(self, run: _Run, number: int) -> dict[str, Any] | None:
        """Show a page of a run, None if there is nothing left."""
        if run.last <= number:
            return None
        try:
            events = list(islice(run.after(number), MAX_EVENTS_PAGE))
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            _log.error("%s is damaged, so notifications about the last run may be lost: %s", self._path, error)
            return None
        lost = run.lost_after(number)
        is_full = len(events) == MAX_EVENTS_PAGE
        last = events[-1]["number"] if is_full else run.last
        return {"run": run.name, "last": last, "more": True, "lost": lost, "lost_news": lost, "events": events}

    def _kept(self) -> list[_Run]:
        """Return the newest runs, with no more events than one run keeps."""
        pages = [_Page(page.last, page.size, page.content) for page in self._stream.pages()]
        runs = [*self._runs, _Run(self._stream.name_of_run, self._stream.last, pages)][-_MAX_RUNS:]
        kept: list[_Run] = []
        room = MAX_EVENTS
        for run in reversed(runs):
            sizes = accumulate(page.size for page in reversed(run.pages))
            count = sum(size <= room for size in sizes)
            some = run.pages[len(run.pages) - count :]
            kept.insert(0, _Run(run.name, run.last, some))
            room -= sum(page.size for page in some)
        return kept


def _started_s(name: str) -> float:
    """Return when a run started, which is its name; before all others if it is none."""
    try:
        return float(name)
    except ValueError:
        return float("-inf")


_decoder = msgspec.msgpack.Decoder(list[_Run])
