"""How the daemon is: what is wrong, its status in one line and in full, its metrics."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from monitor.bans.decision import Verdict
from monitor.daemon.life.background import Cutting
from monitor.daemon.life.config_files import ConfigFiles
from monitor.daemon.life.elsewhere import Elsewhere
from monitor.daemon.life.problems import SEE_FOREIGN, Problems
from monitor.daemon.life.recording import Recording
from monitor.daemon.life.samples import PipelineSamples, Sampled, SaverSamples
from monitor.daemon.life.scraper_watch import ScraperWatch
from monitor.daemon.life.sight import Sight
from monitor.daemon.life.state import State
from monitor.daemon.life.table_watch import TableWatch
from monitor.daemon.life.trial_watch import TrialWatch
from monitor.daemon.life.upkeep import Upkeep
from monitor.daemon.pipeline.harm import HarmWatch
from monitor.daemon.pipeline.history_intake import HistoryIntake
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.sources.detector_origins import detector_origins
from monitor.daemon.sources.runners import Sources
from monitor.enforcers.owner import Owner
from monitor.metrics.metric import Sample
from monitor.model.bans import Mode
from monitor.model.requirements import Part
from monitor.node.pod_watch import PodWatch
from monitor.node.surroundings import Surroundings
from monitor.settings.load import Loaded
from monitor.settings.schema import Settings
from monitor.state.saver import Saver

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
        scrapers: ScraperWatch,
        harm: HarmWatch,
        pods: PodWatch,
        elsewhere: Elsewhere,
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
        self._scrapers = scrapers
        self._harm = harm
        self._pods = pods
        self._elsewhere = elsewhere
        self._detector_origins: dict[str, str] = {}
        self._mode_set_at = ""
        self._started_s = time.time()
        self._mode = (pipeline.enforces, self._started_s, 0)
        """Whether any detector enforces, since when, and how many bans had been only observed by then."""
        self.reloads = {"success": 0, "failure": 0}
        self._upkeep = upkeep
        self.problem_list = Problems(
            pipeline,
            sources,
            saver,
            state,
            surroundings,
            upkeep,
            sight,
            files,
            trial,
            recording,
            scrapers,
            elsewhere,
        )
        self._sampled: tuple[Sampled, ...] = (
            PipelineSamples(pipeline),
            sources,
            SaverSamples(saver),
            self.problem_list,
            elsewhere,
            sight,
            recording,
            scrapers,
            harm,
            upkeep,
            files,
            trial,
        )

    def problems(self) -> list[str]:
        """Say what is not as it should be, worst first."""
        return [one.text for one in self.problem_list.found()]

    def _table_notices(self) -> Iterator[str]:
        if count := sum(self._pipeline.table.foreign.counts().values()):
            yield f"{count} elements of the sets are no bans of nodewarden, other programs added them: {SEE_FOREIGN}"

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
        found = self.problem_list.found()
        return {
            "problems": [one.text for one in found],
            "problem_kinds": [one.kind for one in found],
            "notices": [
                *([self._owner.notice] if self._owner.notice else ()),
                *self._trial.notices(),
                *self._files.notices(),
                *self._pipeline.notices,
                *self._pipeline.shadows.notices(),
                *self._table_notices(),
                *filter(None, [self._pipeline.refused.notice]),
                *self._pipeline.evidence.notices(time.time()),
                *self._pipeline.traffic.notices(),
                *self._sight.notices(),
                *self._saver.notices,
                *self._state.notices(),
                *self._intake.notices(),
                *self._recording.notices(),
                *self._surroundings.notices,
                *self._scrapers.notices(),
                *self._elsewhere.notices(),
                *self._pods.notices,
                *(text for one in self._pipeline.counting for text in one.notices(time.time())),
                *self._sources.notices,
                *self._upkeep.notices(),
            ],
            "harm": self._harm.describe(),
            **self._elsewhere.describe(),
            "trial": self._trial.waiting(),
            "mode": self._show_mode(),
            "uptime_s": time.time() - self._started_s,
            "configuration": str(self._path),
            "metrics": self._metrics,
            "detector_origins": self._detector_origins,
            "rule_changes": [msgspec.structs.asdict(one) for one in self._table_watch.changes.listed()],
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

    def samples(self) -> list[Sample]:
        """Return every sample, as of now."""
        found: list[Sample] = [
            ("nodewarden_history_only_counted_total", (), self._intake.only_counted_total),
            ("nodewarden_surroundings_up", (), float(not self._surroundings.problems)),
            ("nodewarden_allowlist_unresolved_names", (), self._surroundings.names.unresolved),
            ("nodewarden_pods_known", (), self._pipeline.pods.living),
            ("nodewarden_clock_believed", (), float(self._state.clock.is_believed)),
            ("nodewarden_connections_cut_total", (), self._cutting.cut_total),
            ("nodewarden_connections_cut_incomplete_total", (), self._cutting.incomplete_total),
            ("nodewarden_table_compared_age_seconds", (), self._table_watch.oldest_s),
        ]
        found += [("nodewarden_config_reloads_total", (result,), count) for result, count in self.reloads.items()]
        for part in self._sampled:
            found += part.samples()
        return found


class ProblemWatch:
    """Finds which problems appeared and which are over; one whose numbers change stays the same problem."""

    def __init__(self) -> None:
        """Start without problems."""
        self._known: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many problems there were when they were last looked at."""
        return len(self._known)

    def changes(self, problems: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the texts of those that appeared and of those that are over, since the last call: as they appeared."""
        before, keys = self._known, {_COUNT.sub("#", text): text for text in problems}
        # The end has the text of the start, numbers included: what reads both finds the pair.
        self._known = {key: before.get(key, text) for key, text in keys.items()}
        appeared = [text for key, text in self._known.items() if key not in before]
        over = [text for key, text in before.items() if key not in self._known]
        return appeared, over
