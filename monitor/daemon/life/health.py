"""How the daemon is: what is wrong, its status in one line and in full, its metrics."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monitor.bans.decision import Verdict
from monitor.daemon.life import capacity
from monitor.daemon.life.background import Cutting
from monitor.daemon.life.config_files import ConfigFiles
from monitor.daemon.life.recording import Recording
from monitor.daemon.life.samples import pipeline_samples, saver_samples
from monitor.daemon.life.sight import Sight
from monitor.daemon.life.state import State
from monitor.daemon.life.table_watch import TableWatch
from monitor.daemon.life.trial_watch import TrialWatch
from monitor.daemon.life.upkeep import Upkeep
from monitor.daemon.pipeline.history_intake import HistoryIntake
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.selfcheck.windows import window_problems
from monitor.daemon.sources.detector_origins import detector_origins
from monitor.daemon.sources.runners import Sources
from monitor.enforcers.nftables.ruleset import set_specs
from monitor.enforcers.owner import Owner
from monitor.metrics.metric import Sample
from monitor.model.bans import Mode
from monitor.model.requirements import Part
from monitor.node.pod_watch import PodWatch
from monitor.node.surroundings import Surroundings
from monitor.settings.load import Loaded
from monitor.settings.schema import Settings
from monitor.state.saver import Saver

_FLOOD_SHOWN_S = 60.0
_FOREIGN_SHARE = 0.25
"""Of the room of a set: more elements of other programs are a problem."""
_SEE_FOREIGN = "see `nodewarden list --detector foreign`; `nodewarden unban` removes them"
_COUNT = re.compile(r"(?<![\w.:/-])[0-9]+(?:[.,][0-9]+)?(?![\w:/-]|[.,]\w)")
"""A number that stands alone; those in names and addresses tell one problem from another."""


class Health:
    """Asks all parts how they are, and counts what concerns the daemon as a whole."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        pipeline: Pipeline,
        sources: Sources,
        saver: Saver,
        state: State,
        surroundings: Surroundings,
        cutting: Cutting,
        upkeep: Upkeep,
        table_watch: TableWatch,
        sight: Sight,
        owner: Owner,
        intake: HistoryIntake,
        files: ConfigFiles,
        trial: TrialWatch,
        recording: Recording,
        pods: PodWatch,
    ) -> None:
        """Take who knows what; `path` and `settings` are those of the start."""
        self._path = path
        self._metrics = str(settings.metrics.listen) if settings.metrics.enabled else None
        self._pipeline = pipeline
        self._sources = sources
        self._saver = saver
        self._state = state
        self._surroundings = surroundings
        self._cutting = cutting
        self._table_watch = table_watch
        self._sight = sight
        self._owner = owner
        self._intake = intake
        self._files = files
        self._trial = trial
        self._recording = recording
        self._pods = pods
        self._detector_origins: dict[str, str] = {}
        self._mode_set_at = ""
        self._started_s = time.time()
        self._mode = (pipeline.enforces, self._started_s, 0)
        """Whether any detector enforces, since when, and how many bans had been only observed by then."""
        self.reloads = {"success": 0, "failure": 0}
        self._upkeep = upkeep

    def problems(self) -> list[str]:
        """Say what is not as it should be, worst first."""
        problems = list(capacity.problems(self._pipeline.policy, time.time()))
        if wide := self._pipeline.guard.breadth.problem:
            problems.append(f"{wide} (`nodewarden allow list`)")
        problems += [
            f"there is a flood: {flood}"
            for flood in self._pipeline.floods.values()
            if time.time() - flood.time_s < _FLOOD_SHOWN_S
        ]
        problems += [
            *self._sight.problems(),
            *self._sources.problems(),
            *self._surroundings.problems,
        ]
        problems += self._surroundings.names.problems()
        if leaking := self._pipeline.table.leaking(time.time()):
            hooks = ", ".join(f"{packets} in {hook}" for hook, packets in leaking.items())
            problems.append(
                f"traffic from banned sources is still getting through ({hooks}): see `nodewarden why ADDRESS`"
            )
        if not self._saver.is_saving_ok:
            problems.append(self._saver.trouble)
        if self._saver.copier.trouble:
            problems.append(self._saver.copier.trouble)
        problems += self._recording.problems()
        problems += self._state.clock.problems()
        problems += self._trial.problems()
        problems += self._files.problems()
        problems += self._table_problems()
        problems += filter(None, [self._pipeline.refused.problem])
        problems += [
            f"{name} does not have all bans: it failed {self._pipeline.enforcers.errors[name]} times, last with "
            f"{why!r}; {self._pipeline.table.name} has them"
            for name, why in self._pipeline.enforcers.faults.items()
        ]
        problems += [
            f"the listener {name} failed {count} times; bans are not affected; see the log"
            for name, count in self._pipeline.listeners.errors.items()
            if count
        ]
        problems += self._sources.filter_problems()
        problems += window_problems(self._pipeline.counting)
        problems += self._pipeline.shadows.problems()
        return problems + self._upkeep.problems()

    def _table_problems(self) -> Iterator[str]:
        """Say what keeps the table from being as it should, and where elements of others leave little room for bans."""
        table = self._pipeline.table
        if table.is_wanted and not table.is_up and "set_up" not in table.faults:
            yield "the table inet nodewarden is not in place; see the log"
        for text in table.faults.values():
            yield f"the table inet nodewarden {text}"
        specs = set_specs(self._pipeline.ledger.max_bans)
        for name, count in table.foreign.counts().items():
            if count > specs[name].size * _FOREIGN_SHARE:
                yield (
                    f"{count} elements that other programs added take much of the room of set {name} "
                    f"({specs[name].size}): {_SEE_FOREIGN}"
                )

    def _table_notices(self) -> Iterator[str]:
        if count := sum(self._pipeline.table.foreign.counts().values()):
            yield f"{count} elements of the sets are no bans of nodewarden, other programs added them: {_SEE_FOREIGN}"

    def summary(self, problems: Sequence[str]) -> str:
        """Return one line for `systemctl status`."""
        mode = "" if self._follow_mode()[0] else "observing only; "
        state = f"PROBLEM: {problems[0].splitlines()[0]}; " if problems else ""
        return f"{mode}{state}{len(self._pipeline.ledger)} bans, {self._pipeline.events} events"

    def _follow_mode(self) -> tuple[bool, float, int]:
        """Return the mode as of now; called each second."""
        if self._pipeline.enforces is not self._mode[0]:
            self._mode = (self._pipeline.enforces, time.time(), self._observed_total())
        return self._mode

    def _observed_total(self) -> int:
        """Return how many bans were only observed since the start."""
        counted = self._pipeline.metrics.decisions
        return sum(count for (_, verdict), count in counted.items() if verdict is Verdict.OBSERVE)

    def describe(self) -> dict[str, Any]:
        """Return the service's part of the status."""
        return {
            "problems": self.problems(),
            "notices": [
                *([self._owner.notice] if self._owner.notice else ()),
                *self._trial.notices(),
                *self._files.notices(),
                *self._pipeline.notices,
                *self._pipeline.shadows.notices(),
                *self._table_notices(),
                *filter(None, [self._pipeline.refused.notice]),
                *self._pipeline.evidence.notices(time.time()),
                *self._sight.notices(),
                *self._saver.notices,
                *self._state.notices(),
                *self._intake.notices(),
                *self._recording.notices(),
                *self._surroundings.notices,
                *self._pods.notices,
                *(text for one in self._pipeline.counting for text in one.notices(time.time())),
                *self._sources.notices,
                *self._upkeep.notices(),
            ],
            "mode": self._show_mode(),
            "uptime_s": time.time() - self._started_s,
            "configuration": str(self._path),
            "metrics": self._metrics,
            "detector_origins": self._detector_origins,
            **self._sources.describe(),
        }

    def trial_part(self) -> Part:
        """Return what doctor says about the trial configuration."""
        return self._trial.part()

    def _show_mode(self) -> dict[str, Any]:
        _, since_s, before = self._follow_mode()
        return {"since_s": since_s, "observed": self._observed_total() - before, "set_at": self._mode_set_at}

    def follow_origins(self, loaded: Loaded) -> None:
        """Note where the detectors that run come from, and where the switch is that has all of them observe."""
        self._detector_origins = detector_origins(loaded, self._pipeline.log_filters)
        self._mode_set_at = str(loaded.origins["mode"]) if loaded.settings.mode is Mode.OBSERVE else ""

    def samples(self) -> Iterator[Sample]:
        """Yield every sample, as of now."""
        yield from pipeline_samples(self._pipeline)
        yield from self._sources.samples()
        yield from saver_samples(self._saver)
        yield "nodewarden_history_only_counted_total", (), self._intake.only_counted_total
        yield "nodewarden_surroundings_up", (), float(not self._surroundings.problems)
        yield "nodewarden_allowlist_unresolved_names", (), self._surroundings.names.unresolved
        yield "nodewarden_pods_known", (), self._pipeline.pods.living
        yield "nodewarden_clock_believed", (), float(self._state.clock.is_believed)
        yield "nodewarden_connections_cut_total", (), self._cutting.cut_total
        yield "nodewarden_connections_cut_incomplete_total", (), self._cutting.incomplete_total
        yield "nodewarden_table_compared_age_seconds", (), self._table_watch.oldest_s
        yield from self._sight.samples()
        yield from self._recording.samples()
        yield from self._upkeep.samples()
        for result, count in self.reloads.items():
            yield "nodewarden_config_reloads_total", (result,), count
        yield from self._files.samples()
        yield from self._trial.samples()


class ProblemWatch:
    """Finds which problems appeared and which are over; one whose numbers change stays the same problem."""

    def __init__(self) -> None:
        """Start without problems."""
        self._known: dict[str, str] = {}

    def changes(self, problems: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the texts of those that appeared and of those that are over, since the last call."""
        before, self._known = self._known, {_COUNT.sub("#", text): text for text in problems}
        appeared = [text for key, text in self._known.items() if key not in before]
        over = [text for key, text in before.items() if key not in self._known]
        return appeared, over
