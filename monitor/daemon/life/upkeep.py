"""How the daemon itself is: faults of its own, descriptors, the service manager, clients that crowd its servers."""

import time
from collections.abc import Callable, Iterator, Mapping

from monitor.daemon.life import logs
from monitor.daemon.life.descriptors import Descriptors
from monitor.daemon.life.supervisor import Supervisor
from monitor.daemon.life.systemd import ServiceManager
from monitor.metrics.metric import Sample
from monitor.model.problems import Problem, ProblemKind, of_kind

_SHOWN_S = 300.0
_SETTINGS = {"metrics": "metrics.listen", "control": "control.socket"}


class Upkeep:
    """Gathers problems, notices and samples of what is not about traffic."""

    def __init__(
        self,
        supervisor: Supervisor,
        descriptors: Descriptors,
        systemd: ServiceManager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who knows what; `clock` is monotonic, in seconds."""
        self._supervisor = supervisor
        self._descriptors = descriptors
        self._systemd = systemd
        self._dropped: dict[str, Mapping[str, int]] = {}
        self._troubles: list[Callable[[], str]] = []
        self._clock = clock
        self._known: dict[str, int] = {}
        self._crowded_until_s: dict[str, float] = {}

    def follow(self, server: str, dropped: Mapping[str, int], trouble: Callable[[], str] = str) -> None:
        """Watch a server: connections closed without an answer, by cause, and what `trouble` says."""
        self._troubles.append(trouble)
        self._dropped[server] = dropped
        self._known[server] = 0

    def problems(self) -> Iterator[Problem]:
        """Say what keeps the daemon from its work."""
        yield from of_kind(ProblemKind.DESCRIPTORS, self._descriptors.problems())
        yield from of_kind(ProblemKind.SERVICE_MANAGER, self._systemd.problems())
        writer = logs.writer()
        yield from of_kind(ProblemKind.LOG, [writer.trouble()] if writer else [])
        yield from of_kind(ProblemKind.INTERNAL, self._supervisor.problems())
        yield from of_kind(ProblemKind.WEB_CONFIG, [trouble() for trouble in self._troubles])

    def check(self) -> None:
        """Look for what changed; call it each second."""
        self._descriptors.check()
        for server, causes in self._dropped.items():
            if (total := sum(causes.values())) != self._known[server]:
                self._known[server] = total
                self._crowded_until_s[server] = self._clock() + _SHOWN_S

    def notices(self) -> list[str]:
        """Say which servers closed connections of clients in the last minutes."""
        return [
            f"connections to {_SETTINGS[server]} are closed without an answer ({self._known[server]} since the start): "
            "clients are idle, slow, or too many; others are served"
            for server, until_s in self._crowded_until_s.items()
            if self._clock() < until_s
        ]

    def samples(self) -> Iterator[Sample]:
        """Yield the counters."""
        writer = logs.writer()
        yield "nodewarden_log_lines_lost_total", (), writer.lost_total if writer else 0
        yield "nodewarden_internal_errors_total", (), self._supervisor.errors_total
        yield "nodewarden_web_config_current", (), float(not any(trouble() for trouble in self._troubles))
        for server, causes in self._dropped.items():
            for cause, count in causes.items():
                yield "nodewarden_client_connections_dropped_total", (server, cause), count
