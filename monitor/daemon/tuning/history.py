"""A sweep over recorded history: the recording through the pipeline, with the sweep in place of the detector.

The pipeline sorts the evidence as it did then: what is no offence (known services, packets that were accepted, sources
on the detector's own allowlist, networks with rules of their own) does not reach the sweep. Nothing else is detected,
and nothing is banned.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.wiring import build_one, sections_of
from monitor.daemon.replay.engine import Replay
from monitor.daemon.replay.result import Result
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.tuning.comparing import quiet
from monitor.daemon.tuning.fragment import as_yaml, path_of
from monitor.daemon.tuning.grid import Point, findtime_of, threshold_of, written
from monitor.daemon.tuning.known_good import Witness, good_reason
from monitor.daemon.tuning.labels import Labels
from monitor.daemon.tuning.proposal import Seen, Tuning, tune
from monitor.daemon.tuning.sweep import Reached, Sweep, sweep_of
from monitor.detectors.registry import REGISTRATIONS
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import Address
from monitor.model.bans import Mode
from monitor.model.errors import ConfigError, PermanentError
from monitor.model.flows import OutboundIncomplete
from monitor.recording.inputs import FLOW_BATCH, KIND_OF, Configured, Input, Skipped, Surrounded
from monitor.settings.schema import Settings

Inputs = Iterable[Input | Skipped]


class NothingToTuneError(PermanentError):
    """The history has nothing that this detector could be tuned by; the message says why."""


class Swept(msgspec.Struct, frozen=True):
    """What a sweep over a recording found; times are wall time in seconds."""

    detector: str
    section: DetectorSettings
    tuning: Tuning
    since_s: float
    until_s: float
    events: int
    """Events that the detector counts."""
    path: tuple[str, ...]
    """The path of its section in the configuration; empty for a jail of fail2ban, whose values are set there."""
    notes: tuple[str, ...] = ()
    """What operators should know of the history, a sentence each."""
    reached: tuple[Reached, ...] = ()
    """The sources that were counted."""

    @property
    def span_s(self) -> float:
        """How long the history is, in seconds."""
        return self.until_s - self.since_s

    def found(self, point: Point) -> set[Address]:
        """Return the sources that a point finds, known-good ones included."""
        grid = self.tuning.grid
        place, threshold = grid.findtimes_s.index(point.findtime_s), grid.maxretries.index(point.maxretry)
        return {one.source for one in self.reached if one.is_found(place, threshold)}

    @property
    def threshold(self) -> str:
        """The key of the threshold."""
        field = threshold_of(self.section)
        return field.key if field else ""

    def written(self, point: Point) -> dict[str, bool | int | float | str]:
        """Return the values of a point by key, in the configuration's notation."""
        threshold = threshold_of(self.section)
        if threshold is None:
            return {}
        findtime = findtime_of(self.section)
        return {threshold.key: written(threshold, point.maxretry), findtime.key: written(findtime, point.findtime_s)}

    @property
    def changes(self) -> Mapping[str, bool | int | float | str]:
        """The proposed values that differ from those in force."""
        tuning = self.tuning
        if tuning.proposal is None:
            return {}
        today = self.written(tuning.grid.today)
        return {key: value for key, value in self.written(tuning.proposal.point).items() if today[key] != value}

    @property
    def yaml(self) -> str:
        """The proposed change as a file of the configuration; empty if there is none."""
        return as_yaml(self.path, self.changes) if self.path and self.changes else ""


def sweep_history(
    read: Callable[[frozenset[str]], Inputs], detector: str, settings: Settings, filters: LogFilters, labels: Labels
) -> Swept:
    """Sweep the thresholds of a detector over a recording.

    `read` returns its inputs, those of the named kinds of events decoded. Raises ConfigError for a detector that does
    not exist, is switched off or has no threshold, NothingToTuneError for a recording that has nothing of it.
    """
    section = _section(detector, settings, filters)
    engine = _Sweeping(settings, filters, detector, section)
    witness, enforced = Witness(labels), _Enforced(detector)
    with quiet():
        for one in enforced.watch(witness.watch(read(engine.kinds))):
            engine.feed(one)
    result, sweep = engine.result, engine.sweep
    if not sweep.events_total:
        why = engine.unfed().get(detector) or "it has no event that this detector counts"
        raise NothingToTuneError(f"{detector} cannot be tuned by this recording: {why}")
    known = witness.known_good(settings)
    since_s, until_s = result.first_s or 0.0, result.last_s or 0.0
    is_incomplete = bool(result.gaps_total or result.floods or sweep.lost_total or sweep.unnoted_total)
    seen = Seen(max(0.0, until_s - since_s), enforced.is_true, is_incomplete)
    reached = tuple(sweep.sources())
    tuning = tune(sweep.grid, reached, lambda network: good_reason(known.marks(network)), seen)
    is_jail = detector in filters.sections and detector not in settings.detectors.failures
    path = () if is_jail else path_of(detector, filters.sections)
    notes = tuple(_notes(result, sweep, section, is_jail=is_jail))
    return Swept(detector, section, tuning, since_s, until_s, sweep.events_total, path, notes, reached)


class _Sweeping(Replay):
    """A replay in which a sweep is the only detector."""

    def __init__(self, settings: Settings, filters: LogFilters, detector: str, section: DetectorSettings) -> None:
        super().__init__(settings, filters=filters)

        def build(one: DetectorSettings) -> Any:
            return build_one(settings, detector, one)

        self.sweep: Sweep = sweep_of(build(section), section, build)
        self.kinds = frozenset({FLOW_BATCH, *(KIND_OF[event] for event in self.sweep.takes)})

    def _make(self, surrounded: Surrounded | None) -> Pipeline:
        pipeline = super()._make(surrounded)
        pipeline.use_detectors([self.sweep])
        return pipeline


class _Enforced:
    """Follows recorded configurations: whether a detector banned under any of them."""

    def __init__(self, detector: str) -> None:
        self.is_true = False
        self._detector = detector

    def watch(self, inputs: Inputs) -> Iterator[Input | Skipped]:
        for one in inputs:
            if type(one) is Configured:
                document = one.document
                section = one.sections.get(self._detector) or document.get("detectors", {}).get(self._detector, {})
                modes = document.get("mode"), section.get("mode")
                self.is_true = self.is_true or Mode.OBSERVE not in modes
            yield one


def _section(detector: str, settings: Settings, filters: LogFilters) -> DetectorSettings:
    """Return the section of a detector that can be tuned."""
    sections = sections_of(settings, filters.sections)
    section = sections.get(detector)
    if section is None:
        known = [one.name for one in REGISTRATIONS]
        if detector in known:
            raise ConfigError(
                f"{detector} is switched off in this configuration: there is nothing to tune; "
                f"docs/configuration.md says what detectors.{detector} needs"
            )
        similar = difflib.get_close_matches(detector, [*sections, *known], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(sorted(sections))}"
        raise ConfigError(f"there is no detector {detector!r}; {hint}")
    if threshold_of(section) is None:
        raise ConfigError(f"{detector} has no threshold to tune: one event is enough for it")
    return section


def _notes(result: Result, sweep: Sweep, section: DetectorSettings, *, is_jail: bool) -> Iterator[str]:
    """Yield what operators should know of the history."""
    if result.gaps_total:
        yield f"the recording has {result.gaps_total} gaps; at least {result.lacking} events are missing"
    if result.floods:
        floods = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.floods.items()))
        yield f"of floods the recording has only counts, which are not part of this: {floods}"
    if sweep.lost_total or sweep.unnoted_total:
        yield f"{sweep.lost_total + sweep.unnoted_total:,} sources were not followed for lack of room"
    if OutboundIncomplete in sweep.takes:
        yield (
            "its sources are the node and hosts behind it, which count as known-good: label those bad that should be "
            "found (`nodewarden label ADDRESS bad`)"
        )
    if section.networks:
        yield "networks with rules of their own count apart, and are not part of this"
    if is_jail:
        yield "this detector is a jail of fail2ban: set the values there"


def names(settings: Settings, filters: LogFilters) -> Sequence[str]:
    """Return the detectors that can be tuned."""
    return [name for name, one in sections_of(settings, filters.sections).items() if threshold_of(one) is not None]
