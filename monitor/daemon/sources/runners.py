"""All sources at work, and the filters that their logs share; each degrades alone."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.daemon.sources.registrations import SOURCES
from monitor.ebpf.xdp import ProgramUser
from monitor.metrics.metric import Sample
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.events import Event
from monitor.model.flows import Flow
from monitor.model.pods import Pods
from monitor.model.problems import Problem, of_kind
from monitor.native import Watched
from monitor.settings.schema import Settings
from monitor.sources import metrics
from monitor.sources.conntrack.runner import ConntrackRunner
from monitor.sources.registration import Runner, RunnerContext
from monitor.sources.runner import Process, SourceRunner
from monitor.state.saver import Saver


class Sources:
    """The runners of all sources. A source that fails is reported and retried; only the kernel log can stop a start."""

    def __init__(
        self,
        settings: Settings,
        filters: LogFilters,
        xdp: ProgramUser,
        saver: Saver,
        process: Process,
        pods: Pods,
        take_running: Callable[[list[Flow], bool], None],
    ) -> None:
        """Open nothing yet; filters are compiled.

        `xdp` holds bans in the XDP program while it is loaded, `pods` tells which pods are on this node, `take_running`
        takes counters of flows that run.
        """
        self._settings = settings
        self._scan = LogScan(filters, settings.detectors.confirm_timeout_s, settings.state.directory)
        context = RunnerContext(process, saver, self._scan, xdp, pods, take_running)
        self.has_trouble = False
        """Whether a source that was due last had a problem."""
        self._runners = [row.source.make(row.settings_in(settings), context) for row in SOURCES]
        self._trackers = [one for one in self._runners if isinstance(one, ConntrackRunner)]

    def open(self) -> None:
        """Open every source after its saved cursor; PermanentError where the kernel log cannot be read."""
        for one in self._runners:
            one.open()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on whenever there is something to read."""
        for one in self._runners:
            one.attach(loop)

    def close(self) -> None:
        """Stop reading and save all cursors."""
        for one in self._runners:
            one.close()

    def reconfigure(self, settings: Settings, filters: LogFilters) -> None:
        """Follow changed settings and filters without losing a cursor."""
        self._settings = settings
        self._scan.follow(filters, settings.detectors.confirm_timeout_s)
        self._reconfigure()

    def _reconfigure(self) -> None:
        settings = self._settings
        for row, runner in zip(SOURCES, self._runners, strict=True):
            runner.reconfigure(row.settings_in(settings))

    def due_parts(self) -> dict[str, Callable[[], object]]:
        """Return the ticks of the sources that have something to do which wakes nobody, by name.

        Every source is asked, since they compare. What they then find is an input of the pipeline, and so is news.
        """
        due = [one for one in self._runners if one.has_news()]
        self.has_trouble = any(one.problems() for one in due)
        return {self._part(one): one.tick for one in due}

    @staticmethod
    def _part(runner: Runner) -> str:
        return f"the source {runner.name}"

    def watched(self) -> list[Watched] | None:
        """Return what wakes nobody and is to be looked at while nothing happens; None if a source needs ticks."""
        found: list[Watched] = []
        for one in self._runners:
            if (watched := one.watched()) is None:
                return None
            found += watched
        return found

    def descriptors(self) -> set[int]:
        """Return the descriptors that sources wait on now."""
        found = (one.descriptor for one in self._runners if isinstance(one, SourceRunner))
        return {descriptor for descriptor in found if descriptor is not None}

    def tick_parts(self) -> dict[str, Callable[[], object]]:
        """Return what each source does each second, by name: retry what failed, save cursors, check for losses."""
        return {"which logs are there": self._look, **{self._part(one): one.tick for one in self._runners}}

    def _look(self) -> None:
        """Have logs that came or went count, or count no more."""
        if self._scan.look():
            self._reconfigure()

    @property
    def _waiting(self) -> list[str]:
        return [pattern for one in self._runners for pattern in one.waiting]

    @property
    def is_settled(self) -> bool:
        """Whether the cursors are where events were handed on to, not before."""
        return all(one.is_settled for one in self._runners if isinstance(one, SourceRunner))

    @property
    def tracked_share(self) -> float:
        """How full the kernel's table of connections is, from 0 to 1; 0 if that is not known."""
        return max((one.share for one in self._trackers), default=0.0)

    def poll(self, event: type[Event]) -> None:
        """Read at once what sources of this type of event have."""
        for row, runner in zip(SOURCES, self._runners, strict=True):
            if event in row.source.yields and isinstance(runner, SourceRunner):
                runner.poll()

    def problems(self) -> Iterator[Problem]:
        """Say which sources cannot be read, or lose something, and why."""
        for one in self._runners:
            for kind, texts in one.by_kind().items():
                yield from of_kind(kind, texts)

    def filter_problems(self) -> list[str]:
        """Say which detectors find nothing because of their filters, and why."""
        return self._scan.problems(self._waiting)

    def silent_logs(self) -> dict[str, str]:
        """Say which logs yield nothing although their service runs, by detector."""
        return self._scan.silent_logs

    def filter_faults(self) -> dict[str, str]:
        """Say why detectors find nothing, by detector."""
        return dict(self._scan.faults)

    def slow_filters(self) -> dict[str, str]:
        """Say which lines are skipped because a filter takes too long on them, by detector."""
        return self._scan.slow_filters()

    @property
    def notices(self) -> list[str]:
        """What operators should know although the sources work, a sentence each."""
        return [text for one in self._runners for text in one.notices] + self._scan.notices

    def describe(self) -> dict[str, Any]:
        """Return the status of sources and filters."""
        filters = self._scan.describe(self._waiting)
        return {"sources": [self._described(one) for one in self._runners], "filters": filters}

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics of sources and filters."""
        for one in self._runners:
            yield metrics.WANTED.name, (one.name,), float(one.is_wanted)
            try:
                yield from list(one.samples())
            except SYSTEM_FAULTS as error:
                one.fail(error)
                yield metrics.UP.name, (one.name,), 0.0
        yield from self._scan.samples(self._waiting)

    @staticmethod
    def _described(runner: Runner) -> dict[str, Any]:
        """Return the status of a source. Some ask the kernel for it: one that fails then is closed, and retried."""
        try:
            return runner.describe()
        except SYSTEM_FAULTS as error:
            runner.fail(error)
            return runner.describe()
