"""All sources and the filters that their logs share; each degrades alone."""

import asyncio
from collections.abc import Iterator
from typing import Any

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.metrics.metric import Sample
from monitor.settings.schema import Settings
from monitor.sources.conntrack.runner import ConntrackRunner
from monitor.sources.drops.runner import DropsRunner
from monitor.sources.journal.runner import JournalRunner
from monitor.sources.kmsg.runner import KernelLogRunner
from monitor.sources.program_runner import ProgramRunner
from monitor.sources.runner import Process, SourceRunner
from monitor.sources.tail.runner import FilesRunner
from monitor.sources.xdp.runner import XdpRunner
from monitor.state.saver import Saver


class Sources:
    """The list of sources. What cannot be read is shown and tried again; only the kernel log can stop a start."""

    def __init__(self, settings: Settings, pipeline: Pipeline, saver: Saver, process: Process) -> None:
        """Nothing is opened yet; filters are compiled."""
        self._scan = LogScan(pipeline.log_filters, settings.detectors.confirm_timeout_s)
        self._files = FilesRunner(settings, self._scan, saver, process)
        self._runners: tuple[SourceRunner[Any] | ProgramRunner[Any, Any], ...] = (
            KernelLogRunner(settings, saver, process),
            ConntrackRunner(settings, process),
            DropsRunner(settings, process),
            XdpRunner(settings, pipeline, process),
            JournalRunner(settings, self._scan, saver, process),
            self._files,
        )

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
        self._scan.follow(filters, settings.detectors.confirm_timeout_s)
        for one in self._runners:
            one.reconfigure(settings)

    def tick(self) -> None:
        """Try again what failed, save cursors, watch for losses; to be called each second."""
        for one in self._runners:
            one.tick()

    def problems(self) -> list[str]:
        """Say which sources cannot be read, or lose something, and why."""
        return [text for one in self._runners for text in one.problems()]

    def filter_problems(self) -> list[str]:
        """Say which detectors find nothing because of their filters, and why."""
        return self._scan.problems()

    @property
    def notices(self) -> list[str]:
        """What people should know although all goes on, a sentence each."""
        return [text for one in self._runners for text in one.notices] + self._scan.notices

    def describe(self) -> dict[str, Any]:
        """Return the status of sources and filters."""
        filters = self._scan.describe(waiting=self._files.waiting)
        return {"sources": [one.describe() for one in self._runners], "filters": filters}

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics of sources and filters."""
        for one in self._runners:
            yield "nodewarden_source_wanted", (one.name,), float(one.is_wanted)
            yield from one.samples()
        yield from self._scan.samples()
