"""How a source registers itself: all that the daemon needs to know of it.

A source is a folder. `settings.py` has its section of the configuration, `reader.py` reads and a pure decoder next to
it decodes, `runner.py` owns the reader, `metrics.py` and `requirements.py` say what it counts and what it needs, and
`registration.py` makes one `Registration` of these. To add a source, make its folder, and add a line to
`monitor/daemon/sources/registrations.py` and a key to `SourcesSettings`: configuration, reference, metrics, `status`
and `doctor` follow.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol

import msgspec

from monitor.ebpf.xdp import ProgramUser
from monitor.metrics.metric import Metric, Sample
from monitor.model.cursors import CursorStore
from monitor.model.flows import Flow
from monitor.model.pods import Pods
from monitor.model.problems import ProblemKind
from monitor.native import Watched
from monitor.sources.log_scanner import LogScanner, LogTargets
from monitor.sources.requirements import Findings
from monitor.sources.runner import Process, SettingsT


class Runner(Protocol):
    """What owns a source while the daemon runs: a SourceRunner or a ProgramRunner."""

    @property
    def name(self) -> str:
        """The source's name."""
        ...

    @property
    def is_wanted(self) -> bool:
        """Whether anything uses the source."""
        ...

    @property
    def notices(self) -> list[str]:
        """What operators should know although the source works, a sentence each."""
        ...

    @property
    def waiting(self) -> list[str]:
        """Patterns of files that do not exist yet."""
        ...

    def open(self) -> None:
        """Open the source; PermanentError where the daemon must not start without it."""
        ...

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on whenever there is something to read."""
        ...

    def close(self) -> None:
        """Stop reading and save the cursor."""
        ...

    def fail(self, error: Exception) -> None:
        """Close the source, which failed in use, and open it again later."""
        ...

    def reconfigure(self, settings: Any) -> None:
        """Follow changed settings of its own."""
        ...

    def has_news(self) -> bool:
        """Return whether a tick has something to do that nothing else reports; called each second, so it is cheap."""
        ...

    def watched(self) -> Sequence[Watched] | None:
        """Return what wakes nobody and is to be looked at while nothing happens; None if ticks are due."""
        ...

    def tick(self) -> None:
        """Do what is due: each second, or now and then while nothing happens."""
        ...

    def problems(self) -> list[str]:
        """Say what is wrong."""
        ...

    def by_kind(self) -> dict[ProblemKind, list[str]]:
        """Return what is wrong, by kind."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the source's part of the status."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Yield the source's metrics."""
        ...


class RunnerContext(NamedTuple):
    """What the daemon gives to runners; each takes what it needs."""

    process: Process
    cursors: CursorStore
    scanner: LogScanner
    xdp: ProgramUser
    """Holds bans in the XDP program; no other source uses it."""
    pods: Pods
    """Which pods are on this node."""
    take_running: Callable[[list[Flow], bool], None] = lambda _flows, _is_end: None
    """Takes flows that run, with their counters; the flag says that a listing of all of them ends with these."""


class Registration(msgspec.Struct, Generic[SettingsT], frozen=True):
    """A source."""

    name: str
    """In configuration, metrics, status and state."""
    description: str
    """What it reads, as a heading."""
    settings: type[SettingsT]
    yields: tuple[type, ...]
    """The types of events that it hands on, and of those that they hold."""
    metrics: tuple[Metric, ...]
    """What no other source counts."""
    make: Callable[[SettingsT, RunnerContext], Runner]
    """Makes its runner; opens nothing."""
    probe: Callable[[SettingsT, LogTargets], Findings]
    """Tries what it needs, some milliseconds; changes nothing."""
