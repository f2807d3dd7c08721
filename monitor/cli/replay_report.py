"""What came of a replay, for people and as JSON lines."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from monitor.cli import show
from monitor.model.alerts import Strength
from monitor.model.bans import NOT_DETECTORS, WORDS
from monitor.model.errors import ConfigError

if TYPE_CHECKING:
    from monitor.daemon.replay.engine import Replay
    from monitor.daemon.replay.foreign.file_report import FileReport
    from monitor.daemon.replay.foreign.reading import ForeignFiles
    from monitor.daemon.replay.outcome import Outcome

_MAX_ROWS = 100_000
"""Of the table; all are in the JSON lines."""
_MAX_REASONS = 6
_MAX_GAPS = 10
_ACTS = {"ban": "", "refresh": "longer", "observe": "observed", "over_budget": "over budget"}
"""Decisions that are a row of the table, by their verdict; a new ban is named by its set."""


class Report:
    """Takes outcomes one by one: JSON lines are printed as they come, rows of the table at the end."""

    def __init__(self, detector: str = "", *, is_json: bool = False) -> None:
        """Only of this detector, if any is given."""
        self._detector = detector
        self._seen: set[str] = set(NOT_DETECTORS)
        self._is_json = is_json
        self._rows: list[tuple[str, ...]] = []
        self._unshown = 0
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._floods: list[str] = []

    @property
    def has_any(self) -> bool:
        """Whether anything came of what was read, for this detector."""
        return bool(self._counts)

    def take(self, outcome: "Outcome") -> None:
        """Count an outcome, and print or keep it."""
        if self._detector and outcome.detector != self._detector:
            self._seen.add(outcome.detector)
            return
        self._counts[outcome.detector][outcome.verdict or outcome.kind] += 1
        if self._is_json:
            show.as_json(outcome.shown(), indent=None)
        elif outcome.kind == "flood":
            if len(self._floods) < _MAX_GAPS:
                self._floods.append(f"{show.moment(outcome.time_s)} flood by {outcome.detector}: {outcome.reason}")
        elif outcome.kind == "decision" and outcome.verdict in _ACTS:
            if len(self._rows) < _MAX_ROWS:
                self._rows.append(_row(outcome))
            else:
                self._unshown += 1

    def end(self, engine: "Replay", foreign: "ForeignFiles | None" = None, notes: Sequence[str] = ()) -> None:
        """Print the rest. ConfigError if there is no detector of the name that was wanted."""
        if self._detector and self._detector not in self._seen | self._counts.keys() | set(names := engine.names()):
            raise ConfigError(f"there is no detector {self._detector!r}; there are {', '.join(sorted(names))}")
        if self._is_json:
            show.as_json(self._summary(engine, foreign, notes), indent=None)
            return
        for line in (*notes, *_of_files(foreign), *_of_recording(engine, foreign)):
            show.say(line)
        if foreign and not any(one.events for one in foreign.reports):
            return
        show.say()
        if not show.table(("WHEN", "NETWORK", "WHAT", "DETECTOR", "STRENGTH", "FOR", "WHY"), self._rows):
            show.say("nobody would have been banned")
        if self._unshown:
            show.say(f"and {self._unshown:,} more: --json prints all")
        for line in self._floods:
            show.say(line)
        show.say()
        show.table(("DETECTOR", "ALERTS", "BANS", "OBSERVED", "NOTHING NEW", "ALLOWLISTED", "OTHER"), self._totals())
        by_reason: dict[str, list[str]] = defaultdict(list)
        for name, why in engine.unfed().items():
            by_reason[why].append(name)
        for why, names in by_reason.items():
            show.say(f"cannot find anything here: {', '.join(names)}: {why}")

    def _totals(self) -> Iterator[tuple[str, ...]]:
        for name, counts in sorted(self._counts.items()):
            parts = {
                "alerts": counts["alert"] + counts["flood"],
                "bans": counts["ban"] + counts["refresh"],
                "observed": counts["observe"] + counts["over_budget"],
                "nothing new": counts["claim"] + counts["covered"] + counts["stale"],
                "allowlisted": counts["allowlisted"],
                "other": counts["full"] + counts["refused"],
            }
            yield (name, *(f"{count:,}" for count in parts.values()))

    def _summary(self, engine: "Replay", foreign: "ForeignFiles | None", notes: Sequence[str]) -> dict[str, Any]:
        result = engine.result
        files = foreign.reports if foreign else ()
        return {
            "kind": "summary",
            "first_s": result.first_s,
            "last_s": result.last_s,
            "events": dict(result.events),
            "only_counted": dict(result.floods),
            "detectors": {name: dict(counts) for name, counts in sorted(self._counts.items())},
            "unfed": engine.unfed(),
            "gaps": result.gaps_total,
            "warm_s": result.warm_s,
            "versions": list(result.versions),
            "node": foreign.node_guess if foreign else "",
            "files": [msgspec.to_builtins(one) for one in files],
            "notes": list(notes),
        }


def _row(one: "Outcome") -> tuple[str, ...]:
    lasts = show.duration(one.until_s - one.since_s) + (f" (step {one.step})" if one.step else "")
    why = one.reason + (f"; in doubt: {one.doubt}" if one.doubt else "")
    what = WORDS[Strength(one.strength)] if one.verdict == "ban" else _ACTS[one.verdict]
    return (show.moment(one.time_s), str(one.network), what, one.detector, one.strength, lasts, why)


def left_out(report: "FileReport") -> str:
    """Say what of a file was not used."""
    shown = [f"{count:,} {reason}" for reason, count in report.unused.most_common(_MAX_REASONS)]
    more = len(report.unused) - len(shown)
    return ", ".join(shown) + (f" and {more} more reasons" if more > 0 else "")


def _of_files(foreign: "ForeignFiles | None") -> Iterator[str]:
    """Say what was read of files that no daemon recorded."""
    for one in foreign.reports if foreign else ():
        times = ""
        if one.first_s is not None and one.last_s is not None:
            times = f", {show.moment(one.first_s)} to {show.moment(one.last_s)}"
        yield f"{one.path}: {one.kind}, {one.records:,} records, {one.events:,} of them events{times}"
        for note in one.notes:
            yield f"  {note}"
        if one.unused:
            yield f"  not used: {left_out(one)}"
    if foreign and foreign.node_guess:
        yield foreign.node_guess


def _of_recording(engine: "Replay", foreign: "ForeignFiles | None") -> Iterator[str]:
    """Say what a recording holds, and what it lacks."""
    result = engine.result
    if foreign is None and result.first_s is not None and result.last_s is not None:
        events = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.events.items())) or "no events"
        versions = f", recorded by version {', '.join(result.versions)}" if result.versions else ""
        yield f"{show.moment(result.first_s)} to {show.moment(result.last_s)}: {events}{versions}"
    if result.warm_s is not None:
        yield f"it starts in the middle of a run: windows are as full as they were from {show.moment(result.warm_s)} on"
    if result.floods:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.floods.items()))
        yield f"only counted, since there were too many: {counts}"
    for gap in result.gaps[:_MAX_GAPS]:
        count = f"{gap.count:,} missing" if gap.count else "an unknown number missing"
        yield f"gap at {show.moment(gap.time_s)}: {gap.where}: {count}: {gap.reason}"
    if result.gaps_total > _MAX_GAPS:
        yield f"and {result.gaps_total - _MAX_GAPS:,} more gaps"
    if result.failures:
        yield f"{result.failures:,} inputs could not be carried out"
