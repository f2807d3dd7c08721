"""The recorder, as the loop sees it: takes inputs at next to no cost, and has a thread write them.

`take` keeps a reference. The thread gets what came together each second, or earlier when much is waiting; ticks alone
wait for ten seconds, so that a quiet daemon need not wake it. The queue is bounded: beyond its bound events are lost to
the recording, never to the detectors, and the recording says how many.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent import futures
from pathlib import Path
from typing import TypeAlias

from monitor.model.addresses import Address
from monitor.model.errors import explain
from monitor.model.retry import Worker
from monitor.recording.flood import weight
from monitor.recording.inputs import Events, Input, Ticked
from monitor.recording.key_inputs import KeyInputs, KeyState
from monitor.recording.ring import Ring
from monitor.recording.segments import Header
from monitor.recording.settings import RecordingSettings
from monitor.recording.writer import Writer, Written

_log = logging.getLogger(__name__)
HANDED_OVER_EVENTS = 4096
"""Events that are handed to the thread at once."""
_MAX_EVENTS = 65_536
"""The most events that wait."""
_MAX_INPUTS = 16_384
"""The most inputs that wait, batches of events among them."""
_MAX_KNOWN = 4096
_TICKS_WAIT_S = 10.0
_STALLED_S = 10.0
"""How long the thread may take before that is a problem."""
CAUSES = ("queue", "disk", "fault")
"""Why events are missing: the queue was full, the disk refused them, a fault of our own."""
_Taken: TypeAlias = Input | KeyState
_SLOW = "the disk is slower than they came"


class Recorder:
    """Records inputs while it is on. All methods are for the loop's thread."""

    def __init__(
        self,
        header: Callable[[float], Header],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is recorded yet; `header` makes that of a segment opened at a time."""
        self._header = header
        self._clock = clock
        self._wall = wall
        self._keys = KeyInputs()
        self._ring: tuple[Path, RecordingSettings] | None = None
        self._worker: Worker | None = None
        self._writer: Writer | None = None
        self._job: futures.Future[Written] | None = None
        self._job_events = 0
        self._is_last_job = False
        """Whether the job closes its writer."""
        self._waiting: list[_Taken] = []
        self._waiting_events = 0
        self._is_quiet = True
        """Whether nothing but ticks is waiting."""
        self._known: list[Address] = []
        self._lost_now = 0
        self._lost: Counter[str] = Counter()
        self._before = Written()
        """What writers wrote that are closed."""
        self.written = Written()
        """How it goes with the writer, as of the last time that the thread was done."""
        self._job_at_s = 0.0
        self.fault = ""
        """The last fault of our own; empty again once something was written."""

    @property
    def is_on(self) -> bool:
        """Whether inputs are recorded."""
        return self._writer is not None

    @property
    def trouble(self) -> str:
        """Why nothing is written; empty while it is."""
        waits_s = self._clock() - self._job_at_s if self._job is not None and not self._job.done() else 0.0
        if waits_s > _STALLED_S:
            return f"the disk has not answered for {waits_s:.0f} s"
        return self.written.trouble or self.fault

    def start(self, directory: Path, settings: RecordingSettings) -> None:
        """Record from now on, into this directory; no effect while it does."""
        if self._writer is None:
            self._keys = KeyInputs()
            self._ring = directory, settings
            self._worker = self._worker or Worker("recording")
            self._writer = self._new_writer()

    def stop(self) -> None:
        """Record no more; what waits is still written, by the thread."""
        self._collect()
        if self._writer is None or self._worker is None:
            return
        batch, lost = self._waiting, self._lost_now
        self._waiting, self._waiting_events, self._lost_now = [], 0, 0
        self._is_quiet = True
        writer, self._writer = self._writer, None
        self._is_last_job = True
        self._job = self._worker.submit(_finish, writer, batch, lost, self._wall())

    def close(self, timeout_s: float) -> None:
        """Write what waits, unless that takes too long. No other call may follow."""
        self.stop()
        if self._job:
            futures.wait([self._job], timeout_s)
            self._collect()
        if self._worker:
            self._worker.shutdown(cancel=True)

    def know(self, source: Address) -> None:
        """Take a source that raised an alert: it is recorded in a flood, too."""
        if self._writer is not None and len(self._known) < _MAX_KNOWN:
            self._known.append(source)

    def take(self, one: Input) -> None:
        """Record an input, which nobody changes any more."""
        if self._writer is None:
            return
        kind = type(one)
        if kind is not Ticked:
            self._is_quiet = False
            if kind is not Events:
                self._keys.follow(one)
        events = weight(one)
        is_full = self._waiting_events + events > _MAX_EVENTS and self._waiting_events
        if is_full or len(self._waiting) >= _MAX_INPUTS:
            self._lost_now += max(1, events)
            self._hand_over()
            return
        self._waiting.append(one)
        self._waiting_events += events
        if self._waiting_events >= HANDED_OVER_EVENTS:
            self._hand_over()

    def renew(self, state: KeyState) -> None:
        """Start a new segment with what the run knows by now."""
        if self._writer is not None and len(self._waiting) < _MAX_INPUTS:
            self._waiting.append(state)
            self._is_quiet = False

    def tick(self) -> None:
        """Have written what waits; must be called each second."""
        self._collect()
        now_s = self._clock()
        is_due = now_s >= min(self.written.due_s, self._job_at_s + _TICKS_WAIT_S)
        if is_due or not self._is_quiet or self._known or self.trouble:
            self._hand_over()

    def flush(self) -> futures.Future[Written] | None:
        """Have everything written that was taken so far; return the job of the thread, None if there is none.

        While the thread is busy with an earlier job, that one is returned: call it again then.
        """
        self._hand_over(is_flushed=True)
        return self._job

    def total(self, name: str) -> int:
        """Return a number of `Written` since the start of the daemon."""
        return int(getattr(self._before, name)) + int(getattr(self.written, name))

    def lost(self) -> dict[str, int]:
        """Return how many events are missing since the start of the daemon, by cause."""
        parts = self._before.lost, self.written.lost, self._lost
        return {cause: sum(part.get(cause, 0) for part in parts) for cause in CAUSES}

    def _hand_over(self, *, is_flushed: bool = False) -> None:
        """Pass what waits to the thread, unless it is busy; `is_flushed`: an unfinished frame is written, too."""
        self._collect()
        if self._job is not None or self._writer is None or self._worker is None:
            return
        batch, known, lost = self._waiting, self._known, self._lost_now
        self._job_events = self._waiting_events
        self._waiting, self._waiting_events, self._known, self._lost_now = [], 0, [], 0
        self._is_quiet = True
        work = _flush if is_flushed else _write
        self._job_at_s = self._clock()
        self._job = self._worker.submit(work, self._writer, batch, known, lost, self._wall())

    def _collect(self) -> None:
        """Take the result of the thread."""
        job = self._job
        if job is None or not job.done():
            return
        is_last, self._is_last_job = self._is_last_job, False
        self._job = None
        error = job.exception()
        if error is None:
            before, self.written = self.written, job.result()
            if self.written.written_bytes > before.written_bytes:
                self.fault = ""
            if is_last:
                self._retire()
            return
        if not self.fault:
            _log.error("recording failed; bans are not affected", exc_info=error)
        self.fault = explain(error) if isinstance(error, Exception) else repr(error)
        self._lost["fault"] += self._job_events
        self._retire()
        if self._writer is not None and not is_last:
            self._writer = self._new_writer()

    def _retire(self) -> None:
        """Add up what a closed writer wrote."""
        done, before = self.written, self._before
        self._before = Written(
            written_bytes=before.written_bytes + done.written_bytes,
            written_events=before.written_events + done.written_events,
            counted_events=before.counted_events + done.counted_events,
            lost=dict(Counter(before.lost) + Counter(done.lost)),
        )
        self.written = Written(ring_bytes=done.ring_bytes, segments=done.segments, oldest_s=done.oldest_s)

    def _new_writer(self) -> Writer:
        assert self._ring is not None  # noqa: S101 - see `start`
        directory, settings = self._ring
        ring = Ring(directory, settings.max_bytes, settings.max_age_s)
        in_force = self._keys.inputs(self._wall())
        return Writer(ring, settings.max_events_per_second, self._header, in_force, clock=self._clock, wall=self._wall)


def _write(writer: Writer, batch: Sequence[_Taken], known: Sequence[Address], lost: int, now_s: float) -> Written:
    """Write from the thread; what is missing came after the batch."""
    if lost:
        writer.write(batch, known)
        writer.lose("queue", lost, now_s, _SLOW)
        batch, known = (), ()
    return writer.write(batch, known)


def _flush(writer: Writer, batch: Sequence[_Taken], known: Sequence[Address], lost: int, now_s: float) -> Written:
    _write(writer, batch, known, lost, now_s)
    return writer.flush()


def _finish(writer: Writer, batch: Sequence[_Taken], lost: int, now_s: float) -> Written:
    _write(writer, batch, (), lost, now_s)
    return writer.close()
