"""Reads recordings: the ring, also while the daemon writes it, or one file."""

import contextlib
import os
from collections.abc import Container, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from monitor.model.errors import explain
from monitor.recording.bounds import RecordingError
from monitor.recording.inputs import Gap, Input, Skipped, Started
from monitor.recording.key_inputs import KeyInputs
from monitor.recording.ring import number, open_segment, segments
from monitor.recording.segments import Damage, Frame, Header, frames, read_header
from monitor.recording.wire import decode

_FOREVER = float("inf")
_BY_CALENDAR_S = 253_402_300_800.0
"""The year 10000: a time beyond is none."""


class Recording:
    """A ring's directory, or a file. Nothing is kept in memory but the frame that is read."""

    def __init__(self, path: Path) -> None:
        """Find the segments. Raises RecordingError if there is nothing that could be read."""
        self.path = path
        self.damaged_frames = 0
        """Places where something could not be read, so far; the unfinished end of a segment is none."""
        self._last_s = 0.0
        self._is_complete = False
        self._knows_state = False
        """Whether what was read began with a start, or with all that a run knew."""
        try:
            self.segments = segments(path) if path.is_dir() else [path] if path.exists() else []
        except (OSError, ValueError) as error:  # ValueError: no possible path
            raise RecordingError(f"{path}: {explain(error)}") from None
        if not self.segments:
            raise RecordingError(f"{path}: no recording is there")

    def headers(self) -> Iterator[Header]:
        """Yield who wrote the segments, in order. Raises RecordingError for the first that is none."""
        for path in self.segments:
            try:
                with open_segment(path) as file:
                    yield read_header(file)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecordingError) as error:
                raise RecordingError(f"{path}: {explain(error)}") from None

    @property
    def has_pseudonyms(self) -> bool:
        """Whether addresses and names in it are others than those of its node."""
        headers = self.headers()
        with contextlib.suppress(RecordingError):  # what is none is a gap among the inputs
            return any(header.has_pseudonyms for header in headers)
        return False

    def inputs(
        self, since_s: float = -_FOREVER, until_s: float = _FOREVER, wanted: Container[str] | None = None
    ) -> Iterator[Input | Skipped]:
        """Yield what was recorded from `since_s` to before `until_s`, in order.

        First comes what was in force at `since_s`. Batches of kinds that are not `wanted` are Skipped (None: all are
        wanted). A `Gap` stands for what cannot be read. Raises RecordingError if nothing can be.
        """
        keys = KeyInputs()
        has_begun = False
        for one in self._all(self._from(since_s), since_s, wanted):
            if has_begun or one.time_s >= since_s:
                if not has_begun:
                    has_begun = True
                    yield from keys.inputs(max(since_s, 0.0)) if since_s > -_FOREVER else ()
                if one.time_s >= until_s:
                    continue  # the clock may have been set back: what comes later may lie before
                yield one
            elif not isinstance(one, Skipped):
                keys.follow(one)

    def _from(self, since_s: float) -> list[Path]:
        """Return the last segment that begins before a time, and all after it."""
        start = 0
        for place, path in enumerate(self.segments[1:], 1):
            first_s = _first_s(path)
            if first_s is not None and first_s > since_s:
                break
            start = place
        return self.segments[start:]

    def _all(self, paths: list[Path], since_s: float, wanted: Container[str] | None) -> Iterator[Input | Skipped]:
        """Yield all inputs of segments; batches that ended before `since_s` are Skipped.

        A key frame repeats what is known where nothing is missing, unless it is the first to say what the run knew.
        """
        self._knows_state = False
        before: int | None = None
        self._is_complete = False
        for path in paths:
            place = number(path) if len(self.segments) > 1 else 0
            is_next = before is not None and place == before + 1
            if before is not None and not (is_next and self._is_complete):
                yield self._gap("segments are missing" if not is_next else "the end of a segment is missing")
            is_continued, self._is_complete = is_next and self._is_complete, False
            try:
                with open_segment(path) as file:
                    read_header(file)
                    for frame in frames(file):
                        if isinstance(frame, Damage):
                            yield from self._damaged(path, frame)
                        elif not frame.is_key or not is_continued or (frame.has_state and not self._knows_state):
                            self._knows_state = self._knows_state or frame.has_state
                            yield from self._frame(path, frame, () if frame.last_s < since_s else wanted)
            except FileNotFoundError:
                yield self._gap("a segment was removed while it was read")
            except (OSError, ValueError, RecordingError) as error:
                if len(self.segments) == 1:
                    raise RecordingError(f"{path}: {explain(error)}") from None
                self.damaged_frames += 1
                yield self._gap(f"{path.name}: {explain(error)}")
            before = place
        yield from self._cut_off()

    def _cut_off(self) -> Iterator[Gap]:
        """Yield the gap of a file that ends too early; the last segment of a ring is only still being written."""
        if self._is_complete or self.path.is_dir():
            return
        if not self._last_s and not self.damaged_frames:
            raise RecordingError(f"{self.path}: it is cut off, and what is left of it cannot be read")
        yield self._gap("the file is cut off: its end is missing")

    def span_s(self) -> tuple[float, float] | None:
        """Return the times of the first and of the last frame that can be read; None if there is none."""
        spans = []
        for path in self.segments:
            try:
                with open_segment(path) as file:
                    read_header(file)
                    found = (one for one in frames(file) if isinstance(one, Frame) and one.inputs)
                    spans += [(one.first_s, one.last_s) for one in found]
            except (OSError, ValueError, RecordingError):
                continue
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None

    def coverage(self) -> str:
        """Say which time it covers, local."""
        span_s = self.span_s()
        if span_s is None:
            return "it holds nothing at all"
        first, last = (datetime.fromtimestamp(time_s).isoformat(" ", "seconds") for time_s in span_s)
        return f"it covers {first} to {last}"

    def _gap(self, reason: str) -> Gap:
        return Gap(self._last_s, "recording", 0, reason)

    def _damaged(self, path: Path, damage: Damage) -> Iterator[Gap]:
        """Yield the gap of damage; an unfinished end is none, it was a crash or is being written."""
        if not damage.is_end:
            self.damaged_frames += 1
            yield self._gap(f"{path.name}: {damage.size_bytes} bytes at {damage.offset} are damaged")

    def _frame(self, path: Path, frame: Frame, wanted: Container[str] | None) -> Iterator[Input | Skipped]:
        """Yield the inputs of a frame; what cannot be decoded is a gap."""
        try:
            for row in frame.rows():
                one = decode(row, wanted)
                self._last_s = _checked(one)
                if type(one) is Started and not one.is_continued:
                    self._knows_state = True
                yield one
        except (RecordingError, msgspec.DecodeError) as error:
            self.damaged_frames += 1
            yield self._gap(f"{path.name}: {explain(error)}")
        self._is_complete = frame.is_end


def _checked(one: Input | Skipped) -> float:
    """Return the time of an input. Raises RecordingError if it is none, as in a file that somebody made up."""
    if not 0.0 <= one.time_s < _BY_CALENDAR_S:
        raise RecordingError("an input has no time")
    return one.time_s


def _first_s(path: Path) -> float | None:
    """Return the time of a segment's first frame; None if it has none that can be read."""
    try:
        with open_segment(path) as file:
            read_header(file)
            return next((frame.first_s for frame in frames(file) if isinstance(frame, Frame)), None)
    except (OSError, ValueError, RecordingError):
        return None


def recorded_bytes(paths: list[Path]) -> int:
    """Return the size of segments on disk."""
    total = 0
    for path in paths:
        try:
            total += os.stat(path).st_size  # noqa: PTH116 - may be gone
        except (OSError, ValueError):
            continue
    return total
