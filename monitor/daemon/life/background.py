"""What the daemon does beside the packets' way: cutting connections, noticing what others do to the table."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future

from monitor.enforcers.conntrack.cutter import ConntrackCutter
from monitor.enforcers.nftables.drift import Drift, DriftKind, DriftWatch
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import Network
from monitor.model.errors import SYSTEM_FAULTS, NodewardenError
from monitor.model.retry import Worker

_log = logging.getLogger(__name__)
_MAX_WAITING = 64
_MEND_EVERY_S = 0.2
_COMPARE_EVERY_S = 60.0


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


class DriftMender:
    """Watches what others do to the table; gathers it for a moment, so that a quarrel does not become a storm."""

    def __init__(self, table: NftablesTable) -> None:
        """Mend this table, on the loop."""
        self._table = table
        self._watch: DriftWatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: list[Drift] = []
        self._next_s = 0.0
        self._comparing: asyncio.Task[None] | None = None
        self._has_compared = False

    def open(self) -> None:
        """Begin to watch; without the privilege the table cannot be kept either, and that is told elsewhere."""
        try:
            self._watch = DriftWatch(self._table.ports)
        except (NodewardenError, OSError) as error:
            _log.warning("changes of others to the table will not be noticed: %s", error)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read on this loop."""
        self._loop = loop
        if self._watch:
            loop.add_reader(self._watch.fileno(), self._readable)

    def close(self) -> None:
        """Stop watching."""
        if self._watch:
            if self._loop:
                self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        if self._comparing:
            self._comparing.cancel()

    def _readable(self) -> None:
        if self._watch is None or self._loop is None:
            return
        drifts = self._watch.read()
        if not drifts:
            return
        if not self._pending:
            self._loop.call_at(max(self._next_s, self._loop.time()), self._flush)
        self._pending += drifts

    def _flush(self) -> None:
        if self._loop is None or self._watch is None:
            return
        self._next_s = self._loop.time() + _MEND_EVERY_S
        drifts, self._pending = self._pending, []
        self._table.restore(drifts, time.time())
        is_overrun = any(drift.kind is DriftKind.OVERRUN for drift in drifts)
        if is_overrun and (self._comparing is None or self._comparing.done()):
            self._comparing = self._loop.create_task(self._compare())

    async def _compare(self) -> None:
        """Hold the kernel's sets against the ledger, after notices were lost; once a minute at the most."""
        await asyncio.sleep(_COMPARE_EVERY_S if self._has_compared else 0)
        self._has_compared = True
        if not self._table.is_up:
            return
        try:
            elements = await asyncio.to_thread(self._table.read)
        except NodewardenError as error:
            _log.warning("the kernel's sets could not be read: %s", error)
            return
        if missing := self._table.compare(elements, time.time()):
            _log.warning("notices of nftables were lost; %d bans were missing and are back", missing)
