"""Serves metrics and health from a thread of its own, with what the loop's thread knows."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from monitor.daemon.catalogue import METRICS
from monitor.daemon.life.health import Health
from monitor.daemon.life.scraper_watch import ScraperWatch
from monitor.daemon.life.supervisor import Supervisor
from monitor.metrics.exporter import Exporter
from monitor.metrics.metric import Exemplar, Sample, Series
from monitor.model.problems import Problem
from monitor.settings.schema import Metrics

_TIMEOUT_S = 5.0
_T = TypeVar("_T")


class MetricsServer:
    """The exporter, and its questions to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
        """Make the exporter; nothing is served yet."""
        self._loop = loop
        self._supervisor = supervisor
        self.look: Callable[[], object] = lambda: None
        """Called before each answer, so that the answer is how the node is now."""
        self.exporter = Exporter(
            METRICS, self._read_samples, self._read_problems, self._monitored, self._read_exemplars
        )

    def attach(
        self, health: Health, scrapers: ScraperWatch, exemplars: Callable[[], Mapping[Series, Exemplar]]
    ) -> None:
        """Take who knows samples and problems, who is to know the clients, and who has exemplars of counters."""
        self._health = health
        self._scrapers = scrapers
        self._exemplars = exemplars

    def serve(self, settings: Metrics, reserved_from: int) -> None:
        """Serve, if that is enabled; file descriptors from `reserved_from` on are left to others."""
        if settings.enabled:
            listen = settings.listen
            self.exporter.serve(listen.host, listen.port, self._failed, reserved_from, settings.web_config_file)

    def _failed(self, error: Exception) -> None:
        """Note a fault; called from the server's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._supervisor.failed, "answering a scrape", error)

    def _monitored(self, peer: str) -> None:
        """Note that a client monitors this node; called from the server's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._scrapers.note, peer)

    def _read_samples(self) -> list[Sample]:
        """Collect all samples, so that they fit together."""
        return self._on_loop(self._health.samples)

    def _read_exemplars(self) -> Mapping[Series, Exemplar]:
        return self._on_loop(self._exemplars)

    def _read_problems(self) -> list[Problem]:
        """Collect all problems; TimeoutError if the loop does not respond."""
        return self._on_loop(self._health.problem_list.found)

    def _on_loop(self, ask: Callable[[], _T]) -> _T:
        """Call on the loop's thread, and return the result; called from the server's thread."""
        answers: SimpleQueue[_T | _Fault] = SimpleQueue()

        def answer() -> None:
            try:
                self.look()
                answers.put(ask())
            except Exception as error:  # noqa: BLE001 - for the thread that asked
                answers.put(_Fault(error))

        self._loop.call_soon_threadsafe(answer)
        try:
            found = answers.get(timeout=_TIMEOUT_S)
        except Empty:
            raise TimeoutError from None
        if isinstance(found, _Fault):
            raise found.error
        return found


class _Fault(NamedTuple):
    """What a question to the loop raised."""

    error: Exception
