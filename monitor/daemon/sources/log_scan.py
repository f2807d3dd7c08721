"""The filters at work: one matcher that all logs share, what is wrong with filters, what they counted."""

import datetime
import logging
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Any, NamedTuple

from monitor.daemon.sources.log_alternatives import nothing_there
from monitor.daemon.sources.log_choice import LogChoice
from monitor.daemon.sources.log_filters import FROM_FAIL2BAN, LogFilters
from monitor.daemon.sources.log_silence import Expected, LogSilence, units_of
from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import doubt, standing_doubt
from monitor.metrics.metric import Sample
from monitor.model.logs import LogBlock
from monitor.model.writers import FileWriter

if TYPE_CHECKING:
    from monitor.filters.matcher import LogMatcher
    from monitor.filters.scan import Scan

_log = logging.getLogger(__name__)
_COUNTERS = (
    "candidates", "failures", "unproven", "ignored", "unusable", "misdated", "outdated", "stale", "timeouts", "skipped",
    "evicted",
)  # fmt: skip
"""Of FilterStats; each is a metric too."""


class _Made(NamedTuple):
    """All that a matcher is made of."""

    definitions: dict[str, FilterDefinition]
    timezones: dict[str, datetime.tzinfo]
    findtimes_s: dict[str, float]
    confirm_timeout_s: float


class LogScan:
    """Finds failures in blocks. A filter that cannot be used costs its own detector only."""

    def __init__(self, filters: LogFilters, confirm_timeout_s: float, state: Path | None = None) -> None:
        """Compile the filters; `confirm_timeout_s` is what one line may cost one of them.

        `state` is the directory in which the daemon keeps what it will need again.
        """
        self._state_directory = state
        self.faults: dict[str, str] = {}
        """Why these detectors find nothing."""
        self.files: dict[str, tuple[str, ...]] = {}
        """The patterns of files to read, by detector."""
        self.journal: dict[str, tuple[tuple[str, ...], ...]] = {}
        """What to read of the journal, by detector."""
        self._made: _Made | None = None
        self._matcher: LogMatcher | None = None
        self._earlier: dict[str, dict[str, int]] = {}
        self._notes: list[str] = []
        self._file_doubts: dict[str, str] = {}
        """Why the file that each detector read last proves nothing."""
        self._choice = LogChoice()
        self._silence = LogSilence()
        self._filters = filters
        self.follow(filters, confirm_timeout_s)

    def follow(self, filters: LogFilters, confirm_timeout_s: float) -> None:
        """Follow a changed configuration; nothing is compiled, and no connection forgotten, unless filters changed."""
        findtimes_s = {name: filters.findtimes_s[name] for name in filters.definitions if name in filters.findtimes_s}
        made = _Made(filters.definitions, filters.timezones, findtimes_s, confirm_timeout_s)
        if made != self._made:
            self._compile(made)
        known = self.faults
        self.faults = {**filters.faults, **(self._matcher.faults if self._matcher else {})}
        for name, fault in self.faults.items():
            if known.get(name) != fault:
                _log.error("%s", _explain(name, fault))
        self._filters = filters
        self._choice.follow(filters.alternatives, filters.has_files)
        self._silence.follow(
            {
                name: Expected(filters.sections[name].silence_s, units_of(definition))
                for name, definition in filters.definitions.items()
            },
            time.monotonic(),
        )
        self._read_from(filters)

    def look(self) -> bool:
        """Notice which logs came or went, about once a second.

        Return whether the sources have to follow: there is a journal now, or there is none any more.
        """
        self._choice.look(time.time())
        self._silence.look(time.monotonic())
        if not self._filters.look_for_journal():
            return False
        self._read_from(self._filters)
        return True

    def _read_from(self, filters: LogFilters) -> None:
        self.files = {name: where for name, where in filters.files.items() if name not in self.faults}
        self.journal = {name: where for name, where in filters.journal.items() if name not in self.faults}
        self._paths = {name: [normpath(pattern) for pattern in where] for name, where in self.files.items()}
        self._notes = list(filters.notes)

    def begin(self, block: LogBlock) -> "Scan | None":
        """Return a scan of a block for failures; None where no filter is in use, or takes it."""
        taken = self._choice.take(block)
        if taken is None or self._matcher is None or self._made is None:
            return None
        self._silence.hear(taken.detectors)
        if isinstance(taken.writer, FileWriter):
            for name in taken.detectors:
                if definition := self._made.definitions.get(name):
                    self._file_doubts[name] = doubt(definition.evidence, taken.writer)
        return self._matcher.begin(taken)

    @property
    def notices(self) -> list[str]:
        """What operators should know although the filters work, a sentence each."""
        slow = sorted(self._matcher.unsearchable) if self._matcher else ()
        slow_notes = [f"filter of {name}: it must look closely at every line of its log: slow" for name in slow]
        return self._notes + slow_notes

    def problems(self, waiting: Container[str] = ()) -> list[str]:
        """Say which detectors find nothing, or not everything, and why; `waiting` as for `describe`."""
        found = [_explain(name, fault) for name, fault in self.faults.items()]
        found += [_explain(name, why) for name, why in self._needed(waiting).items()]
        found += [f"detector {name} may read the wrong log: {why}" for name, why in self.silent_logs.items()]
        return found + list(self.slow_filters().values())

    @property
    def silent_logs(self) -> dict[str, str]:
        """Why logs may be the wrong ones, by detector: they yield no lines although their service runs."""
        return self._silence.silent

    def _missing(self, waiting: Container[str]) -> dict[str, str]:
        """Say why detectors find nothing as no log of theirs is there."""
        return {
            name: nothing_there(patterns, is_journal_absent=name in self._filters.alternatives)
            for name, patterns in self.files.items()
            if name not in self.journal and all(path in waiting for path in self._paths[name])
        }

    def _needed(self, waiting: Container[str]) -> dict[str, str]:
        """Return those of `_missing` that are a problem."""
        return {name: why for name, why in self._missing(waiting).items() if name not in self._filters.unneeded}

    def slow_filters(self) -> dict[str, str]:
        """Say which lines are skipped because a filter takes too long on them, by detector."""
        return {name: _explain_pause(name, paused) for name, paused in self._paused().items()}

    def describe(self, waiting: Container[str] = ()) -> list[dict[str, Any]]:
        """Return the filters' part of the status; `waiting` are patterns of files that are not there yet.

        `state` is `up`, `waiting for files`, or `down` with its `trouble`.
        """
        definitions = self._made.definitions if self._made else {}
        names = [*definitions, *(name for name in self.faults if name not in definitions and name != FROM_FAIL2BAN)]
        return [
            {
                "detector": name,
                "filter": definitions[name].name if name in definitions else "",
                "origin": definitions[name].origin if name in definitions else "",
                "state": self._state(name, waiting),
                "trouble": self.faults.get(name, ""),
                "evidence": self._evidence(name),
                "reads": list(self._counting_files(name)) or (["journal"] if name in self.journal else []),
                **self._totals(name),
            }
            for name in names
        ]

    def samples(self, waiting: Container[str] = ()) -> Iterator[Sample]:
        """Yield the filters' metrics; `waiting` as for `describe`."""
        definitions = self._made.definitions if self._made else {}
        missing = self._needed(waiting)
        for name in definitions.keys() | self.faults.keys():
            yield "nodewarden_filter_up", (name,), float(name not in self.faults)
        paused = self._paused()
        for name in definitions:
            yield "nodewarden_filter_log_missing", (name,), float(name in missing)
            yield "nodewarden_filter_log_silent", (name,), float(name in self.silent_logs)
            yield "nodewarden_filter_paused", (name,), float(name in paused)
            for counter, total in self._totals(name).items():
                yield f"nodewarden_filter_{counter}_total", (name,), total

    def _paused(self) -> dict[str, dict[int | None, int]]:
        """Return the longest line that expressions of a filter see which took too long, by detector and number."""
        now_s = time.monotonic()
        breakers = self._matcher.breakers if self._matcher else {}
        return {name: paused for name, breaker in breakers.items() if (paused := breaker.paused(now_s))}

    def _state(self, name: str, waiting: Container[str]) -> str:
        if name in self.faults:
            return "down"
        return "waiting for files" if name in self._missing(waiting) else "up"

    def _counting_files(self, name: str) -> tuple[str, ...]:
        """Return the files that count for a detector now; none means the journal."""
        is_journal = name in self.journal and not self._choice.counts_files(name)
        return () if is_journal else self.files.get(name, ())

    def _evidence(self, name: str) -> str:
        """Say whether the lines of a detector's log prove who failed: `proven`, or `shuns only: REASON`."""
        definition = self._made.definitions.get(name) if self._made else None
        if definition is None or self._made is None:
            return ""
        rule = definition.evidence
        reason = standing_doubt(rule, files := self._counting_files(name)) or (
            files and self._file_doubts.get(name, "")
        )
        if reason:
            return f"shuns only: {reason}"
        totals = self._totals(name)
        if not totals["unproven"] or self._matcher is None:
            return "proven"
        last = self._matcher.doubts.get(name, "") or "see the log"
        if totals["unproven"] == totals["failures"]:
            return f"shuns only: {last}"
        return f"proven, except {totals['unproven']} of {totals['failures']} failures: {last}"

    def _compile(self, made: _Made) -> None:
        """Make a matcher, if anything is to be matched; totals continue."""
        self._earlier = {name: self._totals(name) for name in made.definitions}
        self._made = made
        self._file_doubts.clear()
        self._matcher = None
        if made.definitions:
            from monitor.filters.databases import DIRECTORY, Databases
            from monitor.filters.matcher import LogMatcher

            directory = self._state_directory and self._state_directory / DIRECTORY
            self._matcher = LogMatcher(
                made.definitions,
                timezones=made.timezones,
                findtimes_s=made.findtimes_s,
                confirm_timeout_s=made.confirm_timeout_s,
                databases=Databases(directory),
            )

    def _totals(self, name: str) -> dict[str, int]:
        """Return what this detector's filters counted since the start."""
        earlier = self._earlier.get(name, {})
        stats = self._matcher.stats.get(name) if self._matcher else None
        return {counter: earlier.get(counter, 0) + (getattr(stats, counter) if stats else 0) for counter in _COUNTERS}


def _explain(name: str, fault: str) -> str:
    if name == FROM_FAIL2BAN:
        return f"detectors.from_fail2ban: {fault}"
    return f"detector {name} finds nothing: {fault}"


def _explain_pause(name: str, paused: Mapping[int | None, int]) -> str:
    """Say which lines a filter does not see, where it takes too long on them."""
    numbers = sorted(number + 1 for number in paused if number is not None)
    which = "its filter" if None in paused else f"failregex {', '.join(map(str, numbers))} of its filter"
    return (
        f"detector {name} skips lines longer than {min(paused.values())} characters: {which} takes too long on longer "
        "ones, and a source that writes these is not seen"
    )
