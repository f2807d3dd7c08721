"""The thread that writes: inputs become frames, frames become segments, and what cannot be written becomes a gap.

All of it runs in one thread; the loop sees only the `Written` that each call returns. A fault of the disk costs the
inputs until it is over, and is tried again with growing pauses. The next thing that is written then says how much is
missing.
"""

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from monitor.model.addresses import Address
from monitor.model.errors import TemporaryError, explain
from monitor.model.retry import Backoff
from monitor.recording.flood import FloodFilter, weight
from monitor.recording.inputs import Events, Gap, Input
from monitor.recording.key_frame import key_frame
from monitor.recording.key_inputs import KeyInputs, KeyState
from monitor.recording.ring import Ring
from monitor.recording.segments import FrameEncoder, Header, encode_header
from monitor.recording.wire import encode

_FRAME_BYTES = 1 << 20
"""Raw bytes at which a frame is closed at once."""
_SOON_BYTES, _SOON_S = 16 << 10, 0.9
"""A frame of this size is closed after about a second."""
_LATE_S = 10.0
"""A frame of any size is: on a quiet node ticks alone would otherwise take most of the room."""
_SHARE = 8
"""Floods may fill this part of the ring within an hour."""
_HOUR_S = 3600.0
_STATE_SHARE = 4
"""What the run knows may fill this part of a segment."""
_NEARLY = 0.8
"""A segment that is full by this part should end with a state, before it ends without."""


class Written(msgspec.Struct, frozen=True):
    """What was written so far, and how that goes."""

    trouble: str = ""
    """Why nothing can be written; empty while it can."""
    written_bytes: int = 0
    written_events: int = 0
    counted_events: int = 0
    """Events that are only counted, in `Flood`."""
    lost: dict[str, int] = {}
    """Events that are missing, by cause."""
    is_scarce: bool = False
    wants_state: bool = False
    """Whether a segment should start with what the run knows: this one is nearly full, or started without."""
    ring_bytes: int = 0
    segments: int = 0
    oldest_s: float | None = None
    """When the oldest segment was written last."""
    due_s: float = float("inf")
    """When what is pending should be written, on the writer's clock; infinite if nothing is."""


class Writer:
    """Writes inputs to a ring. All methods are for one thread."""

    def __init__(
        self,
        ring: Ring,
        events_per_s: int,
        header: Callable[[float], Header],
        in_force: Iterable[Input] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is opened before the first input.

        `header` makes that of a segment opened at a time; `in_force` is known already, from before the first input.
        """
        self.ring = ring
        self.flood = FloodFilter(events_per_s)
        self._header = header
        self._clock = clock
        self._wall = wall
        self._encoder = FrameEncoder()
        self._keys = KeyInputs()
        for one in in_force:
            self._keys.follow(one)
        self._backoff = Backoff(1.0, 30.0, clock)
        self._trouble = ""
        self._lost: Counter[str] = Counter()
        self._gap = 0
        """Events that are missing since the last one that was written."""
        self._written_bytes = self._written_events = 0
        self._of_hour: deque[tuple[float, int]] = deque()
        self._in_force: list[Input] = []
        """Before the frame that is being filled."""
        self._state: KeyState | None = None
        """What the run knows before the next input."""
        self._has_state = True
        """Whether the segment starts with what the run knew, or with its start."""
        self._rows: list[bytes] = []
        self._raw_bytes = self._events = 0
        self._times = (0.0, 0.0)
        self._framed_s = 0.0
        self._path: Path | None = None
        self._descriptor = -1
        self._size_bytes = 0
        self._frames = 0
        """Of the segment, that hold inputs."""
        self._opened_s = 0.0

    def write(self, inputs: Iterable[Input | KeyState], known: Sequence[Address] = ()) -> Written:
        """Take the next inputs, and the sources that raised alerts; never raises for what the system does."""
        self.flood.known.add(known)
        for one in inputs:
            self._take(one)
        if self._is_due():
            self._flush()
        return self.state()

    def flush(self) -> Written:
        """Write what is pending, however little it is."""
        self._flush()
        return self.state()

    def close(self) -> Written:
        """Write what is pending, and close the segment."""
        self._flush()
        self._end()
        return self.state()

    def lose(self, cause: str, events: int, time_s: float, reason: str) -> None:
        """Record that events are missing which never came here."""
        self._lost[cause] += events
        self._add(Gap(time_s, cause, events, reason))

    def state(self) -> Written:
        """Return how it goes."""
        return Written(
            trouble=self._trouble,
            written_bytes=self._written_bytes,
            written_events=self._written_events,
            counted_events=self.flood.counted_total,
            lost=dict(self._lost),
            is_scarce=self.flood.is_scarce,
            wants_state=self._wants_state(),
            ring_bytes=self.ring.size_bytes + self._size_bytes,
            segments=self.ring.count,
            oldest_s=self.ring.oldest_s,
            due_s=self._framed_s + _LATE_S if self._rows else float("inf"),
        )

    def _wants_state(self) -> bool:
        if self._descriptor < 0:
            return False
        age_s = self._clock() - self._opened_s
        is_late = self._size_bytes > _NEARLY * self.ring.segment_bytes or age_s > _NEARLY * self.ring.segment_age_s
        return is_late or not self._has_state

    def _take(self, one: Input | KeyState) -> None:
        if isinstance(one, KeyState):
            self._flush()
            if not self._trouble:
                self._end()
                self._state = one
            return
        for flood in self.flood.turn(one.time_s):
            self._add(flood)
        if type(one) is not Events:
            self._add(one)
            self._keys.follow(one)
        elif kept := self.flood.take(one):
            self._add(kept)

    def _add(self, one: Input) -> None:
        events = weight(one)
        if self._trouble and not self._backoff.is_due:
            self._miss(events)
            return
        if not self._rows:
            self._framed_s = self._clock()
            state, self._state = self._state, None
            self._in_force = self._keys.inputs(one.time_s, state)
            self._times = (one.time_s, one.time_s)
        row = encode(one)
        self._rows.append(row)
        self._raw_bytes += len(row)
        self._events += events
        self._times = (self._times[0], one.time_s)
        if self._raw_bytes >= _FRAME_BYTES:
            self._flush()

    def _is_due(self) -> bool:
        age_s = self._clock() - self._framed_s
        return bool(self._rows) and (age_s >= _LATE_S or (age_s >= _SOON_S and self._raw_bytes >= _SOON_BYTES))

    def _flush(self) -> None:
        """Write the frame; if that fails, its events are missing."""
        if not self._rows:
            return
        rows, events = self._rows, self._events
        (first_s, last_s) = self._times
        self._rows, self._raw_bytes, self._events = [], 0, 0
        try:
            self._open()
            self._put(self._encoder.encode(rows, events=events, first_s=first_s, last_s=last_s))
            self._frames += 1
        except (OSError, MemoryError, TemporaryError) as error:
            self._miss(events)
            self._failed(explain(error))
            return
        self._written_events += events
        self._trouble, self._gap = "", 0

    def _open(self) -> None:
        """Have a segment with room; the first thing in it is what is in force, and what is missing since the last."""
        if self._descriptor >= 0 and self._is_there():
            age_s = self._clock() - self._opened_s
            if self._size_bytes < self.ring.segment_bytes and age_s < self.ring.segment_age_s:
                return
            self._end()
        self._close()
        now_s = self._wall()
        self._path, self._descriptor = self.ring.create()
        self._size_bytes, self._frames, self._opened_s = 0, 0, self._clock()
        self._put(encode_header(self._header(now_s)))
        first_s = self._times[0]
        self._has_state = True  # without anything in force the run itself starts here
        if self._in_force:
            data, self._has_state = key_frame(
                self._encoder, self._in_force, first_s, self.ring.segment_bytes // _STATE_SHARE
            )
            self._put(data)
        if self._gap:
            gap = encode(Gap(first_s, "disk", self._gap, self._trouble or "the recording could not be written"))
            self._put(self._encoder.encode([gap], first_s=first_s, last_s=first_s))
        self.ring.prune(now_s, self._path)

    def _put(self, data: bytes) -> None:
        """Write to the segment, all or a fault."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._size_bytes += len(data)
        self._written_bytes += len(data)
        self._of_hour.append((self._clock(), len(data)))
        self._size_of_hour()

    def _size_of_hour(self) -> None:
        """Decide whether floods have filled their share."""
        while self._of_hour and self._clock() - self._of_hour[0][0] > _HOUR_S:
            self._of_hour.popleft()
        self.flood.is_scarce = sum(size for _, size in self._of_hour) * _SHARE > self.ring.max_bytes

    def _is_there(self) -> bool:
        """Whether the segment is still in its directory: a write to a removed file does not fail."""
        if self._path is None:
            return False
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def _end(self) -> None:
        """Close the segment, and say in it that it is complete."""
        if self._descriptor >= 0:
            last_s = self._times[1]
            with contextlib.suppress(OSError):
                self._put(self._encoder.encode([], first_s=last_s, last_s=last_s, is_end=True))
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _failed(self, reason: str) -> None:
        """Give the segment up: it ends in part of a frame, which readers pass over. Without any, it is removed."""
        is_empty = self._frames == 0
        self._close()
        if is_empty and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._path = None
        self._trouble = reason
        self._backoff.failed()

    def _miss(self, events: int) -> None:
        self._lost["disk"] += events
        self._gap += max(1, events)
