"""What the daemon does for a trial configuration each second: time, budget, and bans that it should not have made."""

import logging
from collections.abc import Iterator

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.trial.bans_on_trial import BansOnTrial
from monitor.daemon.trial.file import instant
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.daemon.trial.known_sources import KnownSources
from monitor.metrics.metric import Sample
from monitor.model.requirements import Part, PartKind, Requirement

_log = logging.getLogger(__name__)


class TrialWatch:
    """Ties what keeps the trial to the pipeline."""

    def __init__(self, keeper: TrialKeeper, known: KnownSources) -> None:
        """Take what keeps the trial, and who knows why a network is known-good."""
        self._keeper = keeper
        self._known = known
        self.bans = BansOnTrial(keeper, known.good_reason)
        """The listener that watches bans."""

    @property
    def is_running(self) -> bool:
        """Whether a trial waits for its end."""
        return self._keeper.trial is not None

    def attach(self, pipeline: Pipeline) -> None:
        """Take the pipeline, which knows the listener by now."""
        self._pipeline = pipeline
        self._keeper.refused = lambda: pipeline.policy.budgets.refused_total
        self._keeper.on_change = pipeline.listeners.tried
        ended = self._keeper.ended
        if ended and self._keeper.results[ended.result]:  # it ended while the daemon was down
            pipeline.listeners.tried(ended.name, ended.result, ended.text)

    def tick(self, now_s: float) -> None:
        """End the trial if it is time, and lift the bans that it should not have made."""
        if self._keeper.trial:
            self._known.follow()
        self._keeper.tick(instant())
        if wrong := self.bans.take():
            self._pipeline.lift(wrong, now_s)
            _log.warning("the bans of known-good sources are lifted: %s", ", ".join(map(str, wrong)))

    def notices(self) -> list[str]:
        """Say that a trial waits, or how the last one ended."""
        return self._keeper.notices(instant())

    def waiting(self) -> str:
        """Say that a trial waits to be confirmed; empty if none does."""
        return self.notices()[0] if self._keeper.trial else ""

    def problems(self) -> list[str]:
        """Say what keeps a trial from ending as it should."""
        trouble = self._known.trouble if self._keeper.trial else ""
        return [*self._keeper.problems(), *([trouble] if trouble else ())]

    def part(self) -> Part:
        """Return what doctor says about it."""
        needed = [
            Requirement("a trial configuration that ends in time", text, "see `nodewarden apply --status`")
            for text in self.problems() or [""]
        ]
        return Part("trial configuration", PartKind.SERVICE, is_wanted=True, requirements=needed)

    def samples(self) -> Iterator[Sample]:
        """Yield how long a trial still waits, and how trials ended."""
        trial = self._keeper.trial
        yield "nodewarden_trial_seconds_left", (), trial.left_s(instant()) if trial else 0.0
        for result, count in self._keeper.results.items():
            yield "nodewarden_trials_total", (result,), count
