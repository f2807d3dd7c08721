"""The engine: tells a pipeline what a recording has, by the clock of the recording.

The pipeline is the daemon's own; it cannot reach a kernel, since its leader is one in memory. What the kernel refused,
and which random numbers were drawn, is given again. So the outcomes are those of the daemon that recorded, ban for ban,
unless another configuration is given.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.outside import Replayed
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.garbage import rare_collections
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.daemon.replay.outcome import Outcome, OutcomeListener
from monitor.daemon.replay.result import FAILURES, Result
from monitor.daemon.replay.telling import obey, restore
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import read_filters, read_settings
from monitor.enforcers.enforcement import Enforcement
from monitor.model import salt
from monitor.model.errors import ConfigError, NodewardenError
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.recording.flood import weight
from monitor.recording.inputs import (
    FLOW_BATCH,
    KIND_OF,
    ClockSet,
    Configured,
    Corrected,
    Drew,
    Events,
    Flood,
    Gap,
    Input,
    Listening,
    Lost,
    Ordered,
    Refused,
    Restored,
    Skipped,
    Started,
    Surrounded,
    Ticked,
    Withdrawn,
)
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_EXPECTED = frozenset({Refused, Drew, Lost})
"""Inputs that say what the next one meets."""


def replay(
    inputs: Iterable[Input | Skipped], settings: Settings | None = None, *, listeners: Sequence[Listener] = ()
) -> Result:
    """Return all that came of the inputs: with `settings` throughout, or as recorded, reloads followed.

    ConfigError if a recorded configuration is one that this version does not understand.
    """
    engine = Replay(settings, listeners=listeners)
    outcomes: list[Outcome] = []
    with rare_collections():
        for one in inputs:
            outcomes += engine.feed(one)
    engine.result.outcomes = outcomes
    return engine.result


class Replay:
    """One replay, input by input: memory does not grow with the recording."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        filters: LogFilters | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Use `settings` throughout, and `filters` (default: as the settings have it on this machine).

        Without settings those of the recording are used. `listeners` are told of all that is decided.
        """
        self.result = Result()
        self.pipeline: Pipeline | None = None
        """The one of the run that is replayed; None before it is known how it began."""
        self._given = settings
        self._filters = filters or (LogFilters(settings) if settings else None)
        self._settings = settings or Settings()
        self._listeners = listeners
        self._outcomes = OutcomeListener(self._now)
        self._started: Started | None = None
        self._configured: Configured | None = None
        self._outside = Replayed()
        self._handlers: dict[type, Callable[[Any], None]] = {
            Events: self._events,
            Ticked: self._ticked,
            Skipped: self._skipped,
            Started: self._start,
            Configured: self._configure,
            Surrounded: self._surround,
            Listening: self._listen,
            Restored: self._restore,
            Corrected: self._correct,
            Ordered: self._order,
            Withdrawn: self._withdraw,
            ClockSet: self._set_clock,
            Refused: self._expect,
            Drew: self._expect,
            Lost: self._expect,
            Gap: self.result.note_gap,
            Flood: self._flood,
        }
        self._is_failing = False

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._settings

    def wanted(self) -> frozenset[str]:
        """Return the kinds of events that matter to the configuration in force; others need not be decoded."""
        detectors = self._ready().detectors
        return frozenset({FLOW_BATCH, *(KIND_OF[event] for detector in detectors for event in detector.takes)})

    def names(self) -> list[str]:
        """Return the names of the detectors in force."""
        return [detector.name for detector in self._ready().detectors]

    def unfed(self) -> dict[str, str]:
        """Say which detectors in force find nothing in what was read, whatever happened, and why."""
        return self.result.unfed(self._ready(), self._settings)

    def feed(self, one: Input | Skipped) -> list[Outcome]:
        """Carry out one input; return what came of it."""
        result = self.result
        if result.first_s is None:
            result.first_s = one.time_s
        result.last_s = one.time_s
        kind = type(one)
        try:
            self._handlers[kind](one)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - as the daemon's supervisor: it costs this input only
            self._failed(one, error)
        if kind not in _EXPECTED:  # what this input met, the next one must not
            self._outside.take()
        found = self._outcomes.outcomes
        if found:
            self._outcomes.outcomes = []
        return found

    def _failed(self, one: Input | Skipped, error: Exception) -> None:
        self.result.failures += 1
        if not self._is_failing:
            self._is_failing = True
            is_expected = isinstance(error, NodewardenError | OSError)
            text = str(error) if is_expected else repr(error)  # as of a made up recording: no traceback for that
            is_shown = not is_expected and _log.isEnabledFor(logging.DEBUG)
            _log.warning("%s at %.3f failed: %s", type(one).__name__, one.time_s, text, exc_info=is_shown)

    def _now(self) -> float:
        return self.pipeline.now_s if self.pipeline else 0.0

    def _ready(self) -> Pipeline:
        """Return the pipeline; make one of what is known if nothing told how the run began."""
        return self.pipeline or self._make(None)

    def _make(self, surrounded: Surrounded | None) -> Pipeline:
        """Make the pipeline of a run."""
        configured, started = self._configured, self._started
        filters = self._filters
        if self._given is None and configured is not None:
            self._settings, filters = read_settings(configured), read_filters(configured)
        if started is not None:
            salt.use(started.seed)
        self._outside = Replayed()
        self.pipeline = pipeline = Pipeline(
            self._settings,
            surrounded.entries if surrounded else (),
            lambda ledger, allowlist: Enforcement(MemoryLeader()),  # noqa: ARG005 - it keeps nothing
            (self._outcomes, *self._listeners),
            log_filters=filters,
            networks=(surrounded and surrounded.networks) or NodeNetworks(),
            sysctls=(surrounded and surrounded.sysctls) or Sysctls(),
            outside=self._outside,
        )
        self._outside.lose = pipeline.bans.lose
        if started is None or started.is_continued:
            longest_s = max((one.limits.findtime_s for one in pipeline.counting), default=0.0)
            now_s = started.time_s if started else self.result.first_s or 0.0
            self.result.begin(longest_s, now_s)
        return pipeline

    def _start(self, one: Started) -> None:
        self.result.nodes[one.node] = None
        self.result.versions[one.version] = None
        if one.is_continued and not one.has_state and self.pipeline is not None:
            return
        self.result.starts += not one.is_continued
        self.pipeline, self._started, self._configured = None, one, None

    def _configure(self, one: Configured) -> None:
        result = self.result
        is_new = one.digest not in result.digests or one.digest != next(reversed(result.digests))
        result.digests.pop(one.digest, None)
        result.digests[one.digest] = None
        self._configured = one
        result.named |= dict.fromkeys(one.sections)
        if is_new:
            self._read_recorded(one)
        if self.pipeline is None or one.is_continued:
            return
        if self._given is not None:
            result.ignored_reloads += 1
            return
        self._settings = read_settings(one)
        self.pipeline.reconfigure(self._settings, one.offences, one.time_s, read_filters(one))

    def _read_recorded(self, one: Configured) -> None:
        try:
            self.result.recorded = read_settings(one)
        except ConfigError as error:
            if self._given is None:
                raise
            self.result.not_understood[one.digest] = str(error)

    def _surround(self, one: Surrounded) -> None:
        if self.pipeline is None:
            self._make(one)
        elif not one.is_continued:
            self.pipeline.follow_node(one.entries, one.time_s, one.networks, one.sysctls)

    def _events(self, one: Events) -> None:
        events = one.events
        pipeline = self.pipeline or self._ready()
        kind = one.kind
        self.result.events[kind] += weight(one)
        if kind == FAILURES:
            self.result.named |= dict.fromkeys([event.detector for event in events])
        pipeline.process(events, one.time_s)

    def _skipped(self, one: Skipped) -> None:
        self.result.events[one.kind] += one.count

    def _flood(self, one: Flood) -> None:
        self.result.floods[one.kind] += one.others + sum(count for _, count in one.sources)

    def _ticked(self, one: Ticked) -> None:
        pipeline = self.pipeline or self._ready()
        failed: Exception | None = None
        for part in pipeline.tick_parts().values():
            try:
                part(one.time_s)
            except Exception as error:  # noqa: BLE001 - as the daemon's supervisor: other parts are carried out
                failed = error
        if failed:
            raise failed

    def _listen(self, one: Listening) -> None:
        self._ready().follow_listeners(one.services, one.time_s, is_seen=one.is_seen)

    def _correct(self, one: Corrected) -> None:
        self._ready().correct(one.claims, one.time_s)

    def _set_clock(self, one: ClockSet) -> None:
        self._ready().follow_clock(one.step_s, one.last_look_s, one.time_s)

    def _expect(self, one: Refused | Drew | Lost) -> None:
        if isinstance(one, Lost) and self.pipeline is not None and not one.calls:
            self.pipeline.now_s = one.time_s
        self._outside.expect(one)

    def _order(self, one: Ordered) -> None:
        obey(self._ready(), one)

    def _withdraw(self, one: Withdrawn) -> None:
        self._ready().withdraw(one.origin, one.name, one.places, one.time_s)

    def _restore(self, one: Restored) -> None:
        restore(self._ready(), one)
