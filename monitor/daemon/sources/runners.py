"""All sources and the filters that their logs share; each degrades alone."""

import asyncio
from collections.abc import Iterator
from typing import Any

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.metrics.metric import Sample
from monitor.settings.schema import Settings
from monitor.sources.conntrack.runner import ConntrackIntake
from monitor.sources.drops.runner import DropsIntake
from monitor.sources.journal.runner import JournalIntake
from monitor.sources.kmsg.runner import KernelLogIntake
from monitor.sources.program_runner import ProgramIntake
from monitor.sources.runner import Intake, Process
from monitor.sources.tail.runner import FilesIntake
from monitor.sources.xdp.runner import ProgramUser, XdpIntake
from monitor.state.saver import Saver


class Intakes:
    """The list of sources. What cannot be read is shown and tried again; only the kernel log can stop a start."""

    def __init__(
        self, settings: Settings, filters: LogFilters, xdp: ProgramUser, saver: Saver, process: Process
    ) -> None:
        """Nothing is opened yet; filters are compiled. `xdp` holds bans in the XDP program while it is loaded."""
        self._scan = LogScan(filters, settings.detectors.confirm_timeout_s)
        self._files = FilesIntake(settings, self._scan, saver, process)
        self._sources: tuple[Intake[Any] | ProgramIntake[Any, Any], ...] = (
            KernelLogIntake(settings, saver, process),
            ConntrackIntake(settings, saver, process),
            DropsIntake(settings, process),
            XdpIntake(settings, xdp, process),
            JournalIntake(settings, self._scan, saver, process),
            self._files,
        )

    def open(self) -> None:
        """Open every source after the place saved last; PermanentError where the kernel log cannot be read."""
        for one in self._sources:
            one.open()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on whenever there is something to read."""
        for one in self._sources:
            one.attach(loop)

    def close(self) -> None:
        """Stop reading and save all places."""
        for one in self._sources:
            one.close()

    def reconfigure(self, settings: Settings, filters: LogFilters) -> None:
        """Follow changed settings and filters without losing a place."""
        self._scan.follow(filters, settings.detectors.confirm_timeout_s)
        for one in self._sources:
            one.reconfigure(settings)

    def tick(self) -> None:
        """Try again what failed, save places, watch for losses; to be called each second."""
        for one in self._sources:
            one.tick()

    def problems(self) -> list[str]:
        """Say which sources cannot be read, or lose something, and why."""
        return [text for one in self._sources for text in one.problems()]

    def filter_problems(self) -> list[str]:
        """Say which detectors find nothing because of their filters, and why."""
        return self._scan.problems()

    @property
    def notices(self) -> list[str]:
        """What people should know although all goes on, a sentence each."""
        return [text for one in self._sources for text in one.notices] + self._scan.notices

    def describe(self) -> dict[str, Any]:
        """Return the status of sources and filters."""
        filters = self._scan.describe(waiting=self._files.waiting)
        return {"sources": [one.describe() for one in self._sources], "filters": filters}

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics of sources and filters."""
        for one in self._sources:
            yield "nodewarden_source_wanted", (one.name,), float(one.is_wanted)
            yield from one.samples()
        yield from self._scan.samples()
