"""What the daemon does beside the packets' way: cutting connections."""

import logging
import threading
from collections.abc import Sequence

from monitor.enforcers.conntrack.cutter import ConntrackCutter
from monitor.model.addresses import Network
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.retry import Worker

_log = logging.getLogger(__name__)
_MAX_WAITING = 65_536
"""Networks."""
_GATHER_S = 0.2


class Cutting:
    """Deletes the conntrack entries of proven offenders, from a thread of its own: the ban itself never waits.

    Each cut walks the whole connection table, so bans that come within a moment, or during a cut, share one.
    """

    def __init__(self) -> None:
        """Nothing is opened before the first ban."""
        self.cut_total = 0
        self._incomplete_total = self._refused_total = 0  # one for each thread that counts
        self._cutter: ConntrackCutter | None = None
        self._worker = Worker("conntrack")
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._waiting: list[Network] = []

    @property
    def incomplete_total(self) -> int:
        """How often connections of banned networks were left open, some of them or all."""
        return self._incomplete_total + self._refused_total

    def cut(self, networks: Sequence[Network]) -> None:
        """Have the connections of these networks cut soon; when too much waits, the ban has to do by itself."""
        with self._lock:
            is_first, has_room = not self._waiting, len(self._waiting) + len(networks) <= _MAX_WAITING
            if has_room:
                self._waiting += networks
        if not has_room:
            self._refused_total += 1
            _log.warning("too many bans at once: connections of %d networks are not cut, only dropped", len(networks))
        elif is_first and (job := self._worker.submit(self._cut)).done() and (error := job.exception()):
            self._take()
            self._refused_total += 1
            _log.warning("connections of %s were not cut, only dropped: %s", networks[0], error)

    def close(self) -> None:
        """Do not begin anything further."""
        self._is_closed.set()
        self._worker.shutdown(cancel=True)

    def _take(self) -> list[Network]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def _cut(self) -> int:
        if self._is_closed.wait(_GATHER_S):
            return 0
        networks = self._take()
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
