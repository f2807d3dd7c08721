"""What the daemon does beside the packets' way: cutting connections."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future

from monitor.enforcers.conntrack.cutter import ConntrackCutter
from monitor.model.addresses import Network
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.retry import Worker

_log = logging.getLogger(__name__)
_MAX_WAITING = 64


class Cutting:
    """Deletes the conntrack entries of proven offenders, from a thread of its own: the ban itself never waits."""

    def __init__(self) -> None:
        """Nothing is opened before the first ban."""
        self.cut_total = 0
        self._incomplete_total = self._refused_total = 0  # one for each thread that counts
        self._cutter: ConntrackCutter | None = None
        self._worker = Worker("conntrack")
        self._waiting: list[Future[int]] = []

    @property
    def incomplete_total(self) -> int:
        """How often connections of banned networks were left open, some of them or all."""
        return self._incomplete_total + self._refused_total

    def cut(self, networks: Sequence[Network]) -> None:
        """Have the connections of these networks cut soon; when too much waits, the ban has to do by itself."""
        self._waiting = [job for job in self._waiting if not job.done()]
        if len(self._waiting) >= _MAX_WAITING:
            self._refused_total += 1
            _log.warning("too many bans at once: connections of %d networks are not cut, only dropped", len(networks))
            return
        job = self._worker.submit(self._cut, list(networks))
        if job.done() and (error := job.exception()):
            self._refused_total += 1
            _log.warning("connections of %s were not cut, only dropped: %s", networks[0], error)
            return
        self._waiting.append(job)

    def close(self) -> None:
        """Do not begin anything further."""
        self._worker.shutdown(cancel=True)

    def _cut(self, networks: list[Network]) -> int:
        try:
            self._cutter = self._cutter or ConntrackCutter()
            count = self._cutter.cut(networks)
        except SYSTEM_FAULTS as error:
            self._incomplete_total += 1
            _log.warning("connections of %s were not cut, only dropped: %s", networks[0], error)
            return 0
        if self._cutter.is_incomplete:
            self._incomplete_total += 1
            _log.warning("connections of %s were not all cut, only dropped: there are too many", networks[0])
        self.cut_total += count
        return count
