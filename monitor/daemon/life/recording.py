"""The recording in the daemon: opens it, follows orders and settings, and says how it is going.

A recording is never worth a ban: whatever keeps it from being written is a problem of `status`, a metric and a part of
`doctor`, and everything else works on.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from monitor import __version__
from monitor.daemon.life.key_state import key_state
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.metrics.metric import Sample
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.errors import NodewardenError, explain
from monitor.model.requirements import RESTART, Part, PartKind, Requirement
from monitor.recording.recorder import Recorder
from monitor.recording.segments import Header
from monitor.recording.settings import RecordingSettings
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_STOPPED = "stopped"
"""A file in the directory of the recording: it was stopped by command, also across restarts."""
_SHOWN_S = 600.0
_STATE_EVERY_S = 600.0
"""How often at most a segment starts with all that the run knows: telling takes the loop some milliseconds."""
_CLOSE_S = 2.0
_FLUSH_S = 0.5


class RecordOrderError(NodewardenError):
    """The recording cannot be started or stopped; the message is for the operator."""


class Recording(Listener):
    """The daemon's recorder. It listens for alerts: their sources are recorded in a flood, too."""

    name = "recording"

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is opened yet. `clock` is monotonic, in seconds."""
        self._settings = settings.recording
        self._state_directory = settings.state.directory
        self._clock = clock
        self._node = os.uname().nodename
        self._recorder = Recorder(self._header)
        self._is_stopped = False
        self._marker_fault = ""
        self._pipeline: Pipeline | None = None
        self._written = self._recorder.written
        self._known = (0, 0)
        self._lost_at_s = self._counted_at_s = self._state_at_s = float("-inf")

    @property
    def directory(self) -> Path:
        """Where the segments are."""
        return self._state_directory / self._settings.directory

    def open(self, pipeline: Pipeline, now_s: float) -> None:
        """Record what this pipeline gets from now on, unless it is off or was stopped by command."""
        self._pipeline = pipeline
        self._is_stopped = self._was_stopped()
        self._follow(now_s)

    def reconfigure(self, settings: RecordingSettings, now_s: float) -> None:
        """Follow changed settings."""
        if settings != self._settings:
            self._stop(now_s)
            self._settings = settings
            self._is_stopped = self._was_stopped()
            self._follow(now_s)

    async def order(self, action: str) -> dict[str, Any]:
        """Start or stop as ordered; return how it is going. RecordOrderError says why not.

        What happened so far is on disk before the answer, unless the disk takes longer than a second.
        """
        now_s = time.time()
        if action == "start":
            if not self._settings.enabled:
                raise RecordOrderError("the configuration has recording.enabled: false; change it and reload")
            self._mark(is_stopped=False)
            self._follow(now_s)
        elif action == "stop":
            self._mark(is_stopped=True)
            self._stop(now_s)
        for _ in range(2):  # the first may be one that was running
            if job := self._recorder.flush():
                await asyncio.wait([asyncio.wrap_future(job)], timeout=_FLUSH_S)
        self.write()
        return self.describe()

    def write(self) -> None:
        """Have written what came together; call it each second."""
        if self._recorder.written.wants_state and self._clock() - self._state_at_s >= _STATE_EVERY_S:
            self._renew(time.time())
        self._recorder.tick()
        if self._recorder.written is self._written:  # the thread wrote nothing since, and lost nothing
            return
        self._written = self._recorder.written
        known = sum(self._recorder.lost().values()), self._recorder.total("counted_events")
        if known[0] != self._known[0]:
            self._lost_at_s = self._clock()
        if known[1] != self._known[1]:
            self._counted_at_s = self._clock()
        self._known = known

    def close(self) -> None:
        """Write what waits."""
        if self._pipeline is not None:
            self._pipeline.record(None, self._node, __version__, time.time())
        self._recorder.close(_CLOSE_S)

    def alerted(self, alert: Alert, mode: Mode) -> None:  # noqa: ARG002 - the listener's
        """Keep the source."""
        self._recorder.know(alert.source)

    def describe(self) -> dict[str, Any]:
        """Return how it is going, as plain data."""
        written = self._recorder.written
        return {
            "is_on": self._recorder.is_on,
            "is_enabled": self._settings.enabled,
            "is_stopped": self._is_stopped,
            "is_remembered": not self._marker_fault,
            "directory": str(self.directory),
            "trouble": self._recorder.trouble,
            "bytes": written.ring_bytes,
            "max_bytes": self._settings.max_bytes,
            "max_age_s": self._settings.max_age_s,
            "written_bytes": self._recorder.total("written_bytes"),
            "events": self._recorder.total("written_events"),
            "only_counted": self._recorder.total("counted_events"),
            "lost": self._recorder.lost(),
        }

    def problems(self) -> list[str]:
        """Say why nothing is recorded."""
        if not self._recorder.is_on:
            return []
        lost = self._recorder.lost()
        if trouble := self._recorder.trouble:
            where = f"the recording cannot be written to {self.directory}: {trouble}"
            return [f"{where}; bans are not affected; {lost['disk']} events are missing in it so far"]
        if self._pipeline is not None and (errors := self._pipeline.tap.errors):
            return [f"the recording lacks something: the recorder failed {errors} times; see the log"]
        return []

    def notices(self) -> list[str]:
        """Say that nothing is recorded on purpose, what was lost lately, or that a flood is only counted."""
        if self._clock() - self._lost_at_s < _SHOWN_S and not self._recorder.trouble:
            causes = ", ".join(f"{count} by {cause}" for cause, count in self._recorder.lost().items() if count)
            return [f"events are missing in the recording ({causes}); bans are not affected"]
        if self._settings.enabled and self._is_stopped:
            return ["the recording was stopped by command (`nodewarden record start`)"]
        if self._clock() - self._counted_at_s < _SHOWN_S:
            total = self._recorder.total("counted_events")
            return [f"{total} events of floods are only counted in the recording: their sources led to nothing"]
        return []

    def part(self) -> Part:
        """Return what the self-check says."""
        trouble = self._recorder.trouble
        repair = f"install -d -o nodewarden -g nodewarden -m 700 {self.directory} && df {self.directory} && {RESTART}"
        needed = Requirement(
            f"{self.directory}, writable, with room for {self._settings.max_bytes} bytes", trouble, repair
        )
        is_wanted = self._settings.enabled and not self._is_stopped
        return Part("recording", PartKind.SERVICE, is_wanted, [needed], is_optional=True)

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics."""
        recorder = self._recorder
        yield "nodewarden_recording_up", (), float(recorder.is_on and not recorder.trouble)
        yield "nodewarden_recording_bytes", (), recorder.written.ring_bytes
        yield "nodewarden_recording_bytes_limit", (), self._settings.max_bytes
        yield "nodewarden_recording_written_bytes_total", (), recorder.total("written_bytes")
        yield "nodewarden_recording_events_total", (), recorder.total("written_events")
        yield "nodewarden_recording_only_counted_total", (), recorder.total("counted_events")
        for cause, count in recorder.lost().items():
            yield "nodewarden_recording_lost_total", (cause,), count

    def _header(self, time_s: float) -> Header:
        return Header(self._node, __version__, time_s)

    def _follow(self, now_s: float) -> None:
        """Start, if it is to be on."""
        if self._settings.enabled and not self._is_stopped and not self._recorder.is_on and self._pipeline is not None:
            self._recorder.start(self.directory, self._settings)
            has_run = self._pipeline.now_s > 0.0
            self._pipeline.record(self._recorder, self._node, __version__, now_s)
            if has_run:
                self._renew(now_s)

    def _renew(self, now_s: float) -> None:
        """Start a segment with what the run knows."""
        if self._pipeline is not None:
            self._state_at_s = self._clock()
            self._recorder.renew(key_state(self._pipeline, now_s))

    def _stop(self, now_s: float) -> None:
        if self._pipeline is not None:
            self._pipeline.record(None, self._node, __version__, now_s)
        self._recorder.stop()

    def _was_stopped(self) -> bool:
        """Whether it was stopped by command; no if nobody can tell: then the recorder reports why."""
        try:
            return (self.directory / _STOPPED).exists()
        except OSError:
            return False

    def _mark(self, *, is_stopped: bool) -> None:
        """Remember across restarts whether it was stopped; that the disk refuses that is said, and no reason not to."""
        self._is_stopped = is_stopped
        self._marker_fault = ""
        marker = self.directory / _STOPPED
        try:
            if is_stopped:
                self.directory.mkdir(mode=0o700, exist_ok=True)
                marker.touch(mode=0o600)
            else:
                marker.unlink(missing_ok=True)
        except OSError as error:
            self._marker_fault = explain(error)
            _log.warning(
                "that the recording was %s is not remembered: %s", "stopped" if is_stopped else "started", error
            )
