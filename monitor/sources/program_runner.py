"""The runner of an eBPF program: it loads the program without blocking the loop, polls it each second, retries."""

import asyncio
import logging
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from monitor.ebpf.maps import count_runs
from monitor.metrics.metric import Sample
from monitor.model.errors import SYSTEM_FAULTS, PermanentError, TemporaryError, explain
from monitor.model.events import Event
from monitor.model.problems import ProblemKind
from monitor.model.retry import Backoff
from monitor.sources import metrics
from monitor.sources.runner import Process, SettingsT

_log = logging.getLogger(__name__)
_TRY_AGAIN_S = 20.0
"""Compiling takes a second of a core, and without the program the node is blind."""
_TRY_SOON_S = 5.0
_SAMPLE_EVERY_S = 60.0
_SAMPLE_LATER_S = 3600.0


class Program(Protocol):
    """A loaded program."""

    def close(self) -> None:
        """Unload."""

    def has_news(self) -> bool:
        """Return whether a poll may find something; it costs next to nothing."""

    def watched(self) -> list[tuple[int, bytes]] | None:
        """Return what to look at while nothing happens; None if polls are due."""

    def run_statistics(self) -> tuple[int, int]:
        """Return its run time in nanoseconds and its runs, while the kernel kept statistics."""


ProgramT = TypeVar("ProgramT", bound=Program)


class ProgramRunner(ABC, Generic[ProgramT, SettingsT]):
    """Owns one program. If it cannot run, other sources keep working."""

    name: str
    """Of the source, in status and metrics."""
    title: str
    """What is missing without it, in sentences."""
    program_name: str
    """In metrics."""

    def __init__(self, settings: SettingsT, process: Process) -> None:
        """Load nothing yet; `process` takes its events."""
        self.settings = settings
        self.program: ProgramT | None = None
        self.trouble = ""
        self.events = 0
        self._process = process
        self._loading: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = False
        self._has_run = False
        self._backoff = Backoff(_TRY_SOON_S, _TRY_AGAIN_S)
        self._may_pass = True
        self._sampling: int | None = None
        self._sample_at_s = 0.0

    @property
    @abstractmethod
    def is_wanted(self) -> bool:
        """Whether the settings enable it."""

    @abstractmethod
    def make(self, settings: SettingsT, started: Callable[[subprocess.Popen[bytes]], None]) -> ProgramT:
        """Load it; called in a thread, with the settings of that time. `started` takes the compiling child."""

    @abstractmethod
    def taken(self, program: ProgramT) -> None:
        """Start to use it: it was just loaded."""

    @abstractmethod
    def poll(self, program: ProgramT) -> Iterable[Event]:
        """Return the events since the last poll; called each second."""

    def reconfigure(self, settings: SettingsT) -> None:
        """Follow changed settings: load it again with them."""
        if settings != self.settings:
            self.restart(settings)

    @property
    def state(self) -> str:
        """Its state: `up`, `off` (disabled, or this machine cannot run it), `loading`, `down` (it failed)."""
        return "up" if self.program else "loading" if self._loading else "down" if self.problems() else "off"

    @property
    def is_working(self) -> bool:
        """Whether the program does its work, for the metric."""
        return self.program is not None

    @property
    def notices(self) -> list[str]:
        """What operators should know although other sources work, a sentence each."""
        return [f"{self.title}: {self.trouble}"] if self.trouble and not self._has_run else []

    @property
    def waiting(self) -> list[str]:
        """Patterns of files that do not exist yet: it reads none."""
        return []

    def open(self) -> None:
        """Do nothing: loading takes a second, and `attach` starts it in the background."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start loading."""
        self._loop = loop
        self._is_open = True
        self._start()

    def close(self) -> None:
        """Unload, or stop loading."""
        self._is_open = False
        if self._child:
            self._child.kill()  # which ends the thread that loads
        self._stop_sampling()
        self.unload()

    def unload(self) -> None:
        """Unload the program."""
        if self.program:
            self.program.close()
            self.program = None

    def restart(self, settings: SettingsT) -> None:
        """Load again with other settings."""
        self.close()
        self.settings = settings
        self.trouble = ""
        self._is_open = True
        self._start()

    def has_news(self) -> bool:
        """Return whether there is something that a tick would hand on."""
        if self._needs_tick:
            return True
        try:
            return self.program is not None and self.program.has_news()
        except SYSTEM_FAULTS:  # the tick reports it
            return True

    def watched(self) -> Sequence[tuple[int, bytes]] | None:
        """Return what to look at while nothing happens; None if ticks are due."""
        if self._needs_tick:
            return None
        return self.program.watched() if self.program is not None else ()

    @property
    def _needs_tick(self) -> bool:
        """Whether statistics are to be switched off, or a program that ran before is to be loaded again."""
        return self._sampling is not None or bool(self.trouble and self._has_run)

    def tick(self) -> None:
        """Hand on new events; call it each second."""
        if self.program:
            self._use(self.program)
        elif self.trouble and self._may_pass and self._backoff.is_due:
            self._start()

    def fail(self, error: Exception) -> None:
        """Unload the program, which failed in use, and load it again soon."""
        self._note(error)
        try:
            self.unload()
        except SYSTEM_FAULTS as another:
            _log.warning("%s: unloading failed: %s", self.title, explain(another))
            self.program = None

    def problems(self) -> list[str]:
        """Say what is wrong: that a program failed which ran before. What never ran is a notice."""
        return [f"{self.title}: {self.trouble}"] if self.trouble and self._has_run else []

    def by_kind(self) -> dict[ProblemKind, list[str]]:
        """Return what is wrong, by kind."""
        return {ProblemKind.EBPF: self.problems()}

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        return {
            "name": self.name,
            "state": self.state,
            "trouble": self.trouble,
            "malformed": 0,
            "events": self.events,
            "lag_s": None,
        }

    def samples(self) -> Iterator[Sample]:
        """Yield whether it runs and what it costs."""
        yield metrics.UP.name, (self.name,), float(self.is_working)
        yield "nodewarden_ebpf_up", (self.program_name,), float(self.program is not None)
        if self.program is not None:
            run_ns, runs = self.program.run_statistics()
            yield "nodewarden_ebpf_run_seconds_total", (self.program_name,), run_ns / 1e9
            yield "nodewarden_ebpf_runs_total", (self.program_name,), runs

    def _start(self) -> None:
        if self._loop and self.is_wanted and self._loading is None and self.program is None:
            self._loading = self._loop.create_task(self._load(self.settings))

    async def _load(self, settings: SettingsT) -> None:
        """Load in a thread; report a failure once, and retry it if it may be temporary."""
        try:
            program = await asyncio.to_thread(self.make, settings, self._note_child)
            self._take(program, settings)
        except SYSTEM_FAULTS as error:
            self._note(error)
            self._may_pass = self._has_run or not isinstance(error, PermanentError)
        finally:
            self._child = None
            self._loading = None
        if self._is_open and not self.trouble:
            self._start()  # the settings changed meanwhile

    def _take(self, program: ProgramT, settings: SettingsT) -> None:
        """Keep what was loaded, if it is still what is wanted."""
        if not self._is_open or settings != self.settings:
            program.close()
            return
        self.program, self.trouble = program, ""
        self._has_run = self._may_pass = True
        try:
            self.taken(program)
        except SYSTEM_FAULTS as error:
            self.fail(error)

    def _use(self, program: ProgramT) -> None:
        """Hand on the events of the last second."""
        try:
            events = list(self.poll(program))
            self._sample_runs()
        except SYSTEM_FAULTS as error:
            self.fail(error)
            return
        if events:
            self._process(events)

    def _note(self, error: Exception) -> None:
        """Note why there is no program, once in the log for each cause."""
        text = explain(error)
        if text != self.trouble:
            _log.warning("%s: %s", self.title, text)
        self.trouble = text
        self._backoff.failed()

    def _note_child(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def _sample_runs(self) -> None:
        """Have the kernel keep statistics for one second of each minute: they cost each run of a program some time."""
        now_s = time.monotonic()
        if self._sampling is not None:
            self._stop_sampling()
        elif now_s >= self._sample_at_s:
            self._sample_at_s = now_s + _SAMPLE_EVERY_S
            try:
                self._sampling = count_runs()
            except (TemporaryError, OSError):
                self._sample_at_s = now_s + _SAMPLE_LATER_S

    def _stop_sampling(self) -> None:
        if self._sampling is not None:
            os.close(self._sampling)
            self._sampling = None
