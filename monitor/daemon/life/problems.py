"""What is not as it should be: gathers the problems of all parts, each with its kind, worst first."""

import time
from collections.abc import Iterator, Sequence

from monitor.daemon.life import capacity
from monitor.daemon.life.config_files import ConfigFiles
from monitor.daemon.life.elsewhere import Elsewhere
from monitor.daemon.life.recording import Recording
from monitor.daemon.life.scraper_watch import ScraperWatch
from monitor.daemon.life.sight import Sight
from monitor.daemon.life.state import State
from monitor.daemon.life.trial_watch import TrialWatch
from monitor.daemon.life.upkeep import Upkeep
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.selfcheck.windows import window_problems
from monitor.daemon.sources.runners import Sources
from monitor.enforcers.nftables.ruleset import set_specs
from monitor.metrics.metric import KeptSamples, Sample
from monitor.model.problems import Problem, ProblemKind, of_kind, worst_first
from monitor.node.surroundings import Surroundings
from monitor.state.saver import Saver

_NEW_ENOUGH_S = 1.0
_FOREIGN_SHARE = 0.25
"""Of the room of a set: more elements of other programs are a problem."""
SEE_FOREIGN = "see `nodewarden list --detector foreign`; `nodewarden unban` removes them"


class Problems:
    """Asks all parts what is wrong."""

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sources,
        saver: Saver,
        state: State,
        surroundings: Surroundings,
        upkeep: Upkeep,
        sight: Sight,
        files: ConfigFiles,
        trial: TrialWatch,
        recording: Recording,
        scrapers: ScraperWatch,
        elsewhere: Elsewhere,
    ) -> None:
        """Take who knows what."""
        self._pipeline = pipeline
        self._sources = sources
        self._saver = saver
        self._state = state
        self._surroundings = surroundings
        self._upkeep = upkeep
        self._sight = sight
        self._files = files
        self._trial = trial
        self._recording = recording
        self._scrapers = scrapers
        self._elsewhere = elsewhere
        self._kinds = KeptSamples()
        self._found_kinds: frozenset[ProblemKind] = frozenset()
        self._found_s = float("-inf")
        self._room = capacity.RoomProblems(pipeline.policy)

    def found(self) -> list[Problem]:
        """Return what is not as it should be, worst first."""
        found = worst_first(
            [*self._of_traffic(), *self._of_the_daemon(), *self._of_enforcement(), *self._of_detectors()]
        )
        self._found_kinds, self._found_s = frozenset(one.kind for one in found), time.monotonic()
        return found

    def samples(self) -> Sequence[Sample]:
        """Return 1 for each kind of which there is a problem, and 0 for the others; those of a tick are new enough."""
        if not 0 <= time.monotonic() - self._found_s < _NEW_ENOUGH_S:
            self.found()
        found = self._found_kinds
        return self._kinds.of(
            found, lambda: (("nodewarden_problem", (one,), float(one in found)) for one in ProblemKind)
        )

    def _of_traffic(self) -> Iterator[Problem]:
        now_s = time.time()
        pipeline = self._pipeline
        yield from self._room.found(now_s)
        if wide := pipeline.guard.breadth.problem:
            yield Problem(ProblemKind.ALLOWLIST_WIDE, f"{wide} (`nodewarden allow list`)")
        yield from of_kind(ProblemKind.FLOOD, pipeline.floods.describe(now_s))
        yield from self._sight.problems()
        yield from self._sources.problems()
        yield from of_kind(ProblemKind.SURROUNDINGS, self._surroundings.problems)
        yield from of_kind(ProblemKind.NAMES, self._surroundings.names.problems())
        yield from self._scrapers.problems()
        if leaking := pipeline.table.leaking(now_s):
            hooks = ", ".join(f"{packets} in {hook}" for hook, packets in leaking.items())
            text = f"traffic from banned sources is still getting through ({hooks}): see `nodewarden why ADDRESS`"
            yield Problem(ProblemKind.LEAK, text)

    def _of_the_daemon(self) -> Iterator[Problem]:
        if not self._saver.is_saving_ok:
            yield Problem(ProblemKind.STATE, self._saver.trouble)
        yield from of_kind(ProblemKind.STATE_COPY, [self._saver.copier.trouble])
        yield from of_kind(ProblemKind.RECORDING, self._recording.problems())
        yield from of_kind(ProblemKind.CLOCK, self._state.clock.problems())
        yield from of_kind(ProblemKind.TRIAL, self._trial.problems())
        yield from of_kind(ProblemKind.CONFIGURATION, self._files.problems())
        yield from self._elsewhere.problems()

    def _of_enforcement(self) -> Iterator[Problem]:
        """Say what keeps the table from being as it should, and which enforcers and listeners failed."""
        pipeline = self._pipeline
        table, enforcers = pipeline.table, pipeline.enforcers
        if table.is_wanted and not table.is_up and "set_up" not in table.faults:
            yield Problem(ProblemKind.TABLE, "the table inet nodewarden is not in place; see the log")
        yield from of_kind(ProblemKind.TABLE, [f"the table inet nodewarden {text}" for text in table.faults.values()])
        for name, count in table.foreign.counts().items():
            if count and count > (size := set_specs(pipeline.ledger.max_bans)[name].size) * _FOREIGN_SHARE:
                text = f"{count} elements that other programs added take much of the room of set {name} ({size})"
                yield Problem(ProblemKind.FOREIGN, f"{text}: {SEE_FOREIGN}")
        yield from of_kind(ProblemKind.REFUSED, [pipeline.refused.problem])
        for name, why in enforcers.faults.items():
            text = f"{name} does not have all bans: it failed {enforcers.errors[name]} times, last with {why!r}"
            yield Problem(ProblemKind.FOLLOWER, f"{text}; {table.name} has them")
        for name, count in pipeline.listeners.errors.items():
            if count:
                text = f"the listener {name} failed {count} times; bans are not affected; see the log"
                yield Problem(ProblemKind.LISTENER, text)

    def _of_detectors(self) -> Iterator[Problem]:
        yield from of_kind(ProblemKind.FILTER, self._sources.filter_problems())
        yield from of_kind(ProblemKind.WINDOW, window_problems(self._pipeline.counting))
        yield from of_kind(ProblemKind.SHADOW, self._pipeline.shadows.problems())
        yield from self._upkeep.problems()
