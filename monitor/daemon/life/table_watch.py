"""Watches the table for changes by other programs, on the loop: by notifications, and by comparing it part by part.

Notifications are gathered for a moment, so that a dispute with another program does not become a storm. They are no
proof that nothing changed: after an overrun, after an error, and in any case every few minutes the table is compared
with what it should be. One part at a time, in a thread, with pauses: a full set takes a second to read.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from monitor.audit.rules.authors import is_settled
from monitor.enforcers.nftables.contents import Reading
from monitor.enforcers.nftables.drift import Drift, DriftWatch
from monitor.enforcers.nftables.keeper import ALLOWLIST, DEFINITION, PARTS, TableKeeper
from monitor.enforcers.nftables.kernel_generation import KernelGeneration
from monitor.enforcers.nftables.rule_changes import RuleChanges
from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.retry import Worker

_RULES = (DEFINITION, ALLOWLIST)
"""What is compared each time; of the other parts, the sets of bans, one has its turn."""
_REVERT_EVERY_S = 0.2
PAUSE_S = 15.0
"""The time between two comparisons of rules and allowlist, each with one set. It is the first tick after about this
time that has it done, for then the daemon is awake; or twice this time, without one. So each set has its turn in 3 to
7 minutes."""
_SOON = 0.9
_BUSY_SHARE = 20
"""After all parts were compared at once, the next time waits this many times as long as that took,"""
_MAX_WAIT_S = 60.0
"""but no longer than this."""
_READ_EVERY_S, _READ_SETS_EVERY_S = 180.0, 900.0
"""Rules and allowlist, and sets, that were as they should be are read again after this time, or when anybody changed
nf_tables; sets also when any ban came, changed or ended."""
_FEW_BANS = 1000
"""With more bans, sets are always read."""
_STALE_S = 900.0
"""A part that could not be compared for this long is a problem."""


class _Alike(NamedTuple):
    """What a part was compared with, and with which number of the kernel's rules, when nothing was wrong with it."""

    generation: int
    allowlist: Sequence[Network]
    bans: Sequence[Ban]
    read_s: float


class TableWatch:
    """Has changes reverted by a `TableKeeper`."""

    def __init__(
        self,
        keeper: TableKeeper,
        ports: Container[int],
        failed: Callable[[str, Exception], None],
        pause_s: float = PAUSE_S,
        generation: KernelGeneration | None = None,
    ) -> None:
        """`ports` are those of our own changes, `pause_s` the time between two comparisons in seconds.

        `failed` is told of a fault of our own, with the name of what failed; `generation` tells whether anybody changed
        nf_tables.
        """
        self.changes = RuleChanges(is_settled)
        """Which processes changed the rules of other tables."""
        self._keeper = keeper
        self._failed = failed
        self._worker = Worker("table")
        self._ports = ports
        self._pause_s = pause_s
        self._watch: DriftWatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: list[Drift] = []
        self._next_revert_s = 0.0
        self._comparing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._due_s = float("inf")
        """From when on a tick has the next comparison done."""
        self._all_from_s = 0.0
        self._compared_s = dict.fromkeys(PARTS, time.monotonic())
        self._why_not = dict.fromkeys(PARTS, "")
        self._is_unseen = False
        """Whether others changed nf_tables before notifications were listened to."""
        self._generation = generation or KernelGeneration()
        self._alike: dict[str, _Alike] = {}
        """When each part was as it should be."""

    @property
    def oldest_s(self) -> float:
        """How long ago the part was compared that was not compared for the longest time, in seconds."""
        return time.monotonic() - min(self._compared_s.values())

    def open(self) -> None:
        """Start to listen for notifications; if that fails, comparisons alone find changes, and it is tried again.

        What others changed before, while the start wrote the table, was not notified: it is compared at once.
        """
        try:
            self._watch = DriftWatch(self._ports, self.changes)
        except SYSTEM_FAULTS as error:
            self._unnoticed(error)
        else:
            self._listen()
        if self._keeper.others_changed():
            self._is_unseen = True
            self._wake.set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read and compare on this loop."""
        self._loop = loop
        self._listen()
        self._comparing = loop.create_task(self._compare_always())

    def tick(self) -> None:
        """Have what is due compared, also where a fault of our own ended it, which is raised; call it each second."""
        if time.monotonic() >= self._due_s:
            self._wake.set()
        if self._loop is None or self._comparing is None or not self._comparing.done():
            return
        ended, self._comparing = self._comparing, self._loop.create_task(self._compare_always())
        if not ended.cancelled() and (error := ended.exception()):
            raise error

    def close(self) -> None:
        """Stop watching."""
        self._close_watch()
        self._generation.close()
        if self._comparing:
            self._comparing.cancel()
        self._worker.shutdown(cancel=True)

    def _listen(self) -> None:
        if self._watch is None:
            return
        if self._loop:
            try:
                self._loop.add_reader(self._watch.fileno(), self._readable)
            except SYSTEM_FAULTS as error:  # epoll has no memory
                self._unnoticed(error)
                return
        self._keeper.fault("notifications", "")

    def _unnoticed(self, error: Exception) -> None:
        """Close what failed; the next comparison opens it again."""
        self._close_watch()
        text = f"is compared only every few minutes, no change is notified: {explain(error)}"
        self._keeper.fault("notifications", text)

    def _close_watch(self) -> None:
        if self._watch:
            if self._loop:
                self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def _readable(self) -> None:
        if self._watch is None or self._loop is None:
            return
        try:
            drifts = self._watch.read()
        except SYSTEM_FAULTS as error:
            self._unnoticed(error)
            self._compare_all()
            return
        if not drifts:
            return
        if not self._pending:
            self._loop.call_at(max(self._next_revert_s, self._loop.time()), self._revert)
        self._pending += drifts

    def _revert(self) -> None:
        if self._loop is None:
            return
        self._next_revert_s = self._loop.time() + _REVERT_EVERY_S
        drifts, self._pending = self._pending, []
        try:
            self._keeper.revert(drifts, time.time())
        except Exception:
            self._compare_all()  # what is left to revert is no longer known
            raise
        if self._keeper.suspects:
            self._wake.set()

    def _compare_all(self) -> None:
        self._keeper.suspects |= dict.fromkeys(PARTS)
        self._wake.set()

    async def _compare_always(self) -> None:
        for regular in itertools.cycle((*_RULES, name) for name in PARTS if name not in _RULES):
            await self._pause()
            if self._watch is None:
                self.open()
                self._keeper.suspects |= dict.fromkeys(PARTS)
            await self._compare_suspects()
            await self._compare_unseen()
            generation = self._generation.read() if self._keeper.is_needed else None
            for part in regular:
                if self._is_unchanged(part, generation):
                    self._compared_s[part] = time.monotonic()
                else:
                    await self._compare(part, is_suspect=False)

    async def _pause(self) -> None:
        """Wait for the next comparison, or until something is suspected that may be compared now."""
        timeout_s, self._due_s = 2 * self._pause_s, time.monotonic() + _SOON * self._pause_s
        if self._keeper.suspects:  # left from the last time
            timeout_s = min(timeout_s, max(0.0, self._all_from_s - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        self._wake.clear()
        self._due_s = float("inf")

    async def _compare_suspects(self) -> None:
        """Compare what is suspected to have changed: rules and allowlist now, sets if that was not done just now."""
        is_due = time.monotonic() >= self._all_from_s
        started_s = time.monotonic()
        parts = [part for part in self._keeper.suspects if is_due or part in _RULES]
        for part in parts:
            self._keeper.suspects.pop(part, None)
            await self._compare(part, is_suspect=True, may_rewrite=is_due)
        if parts and is_due:
            took_s = time.monotonic() - started_s
            self._all_from_s = time.monotonic() + min(_MAX_WAIT_S, _BUSY_SHARE * took_s)

    async def _compare_unseen(self) -> None:
        """Compare all parts after a start during which others changed nf_tables: large sets by count and sample first.

        Most often these others have nothing to do with us: Kubernetes changes its rules each time a service changes.
        """
        if not self._is_unseen:
            return
        self._is_unseen = False
        for part in PARTS:
            await self._compare(part, is_suspect=False)
            if self._why_not[part]:
                self._keeper.suspects[part] = None
        self._keeper.list_large_sets()

    async def _compare(self, part: str, *, is_suspect: bool, may_rewrite: bool = False) -> None:
        """Compare a part and have it reverted; a fault of our own in it keeps no other part from being compared."""
        if not self._keeper.is_needed:
            self._compared_s[part] = time.monotonic()
            return
        try:
            self._why_not[part] = await self._compared(part, is_suspect=is_suspect, may_rewrite=may_rewrite)
        except Exception as error:  # noqa: BLE001 - for the supervisor: a fault costs this comparison
            self._why_not[part] = f"internal fault {type(error).__name__}"
            self._failed(f"comparing {part} of the table", error)
        if not self._why_not[part]:
            self._compared_s[part] = time.monotonic()
        self._report()

    def _is_unchanged(self, part: str, generation: int | None) -> bool:
        """Return whether a part was as it should be, still should be so, and nobody changed nf_tables since.

        `generation` is the kernel's number of changes now.
        """
        if (alike := self._alike.get(part)) is None or alike.generation != generation:
            return False
        if part in _RULES:
            is_same, read_every_s = alike.allowlist is self._keeper.allowlist, _READ_EVERY_S
        else:
            is_same, read_every_s = alike.bans == self._keeper.snapshot(), _READ_SETS_EVERY_S
        return is_same and time.monotonic() - alike.read_s < read_every_s

    async def _compared(self, part: str, *, is_suspect: bool, may_rewrite: bool) -> str:
        """Compare a part; return why that was not possible. What is suspected is then written anew, or stays so.

        Writing anew is not always allowed: notifications of our own writing may be lost too, and are suspicious.
        """
        self._alike.pop(part, None)
        generation, allowlist, bans = self._generation.read(), self._keeper.allowlist, self._keeper.snapshot()
        try:
            job = self._worker.submit(self._keeper.read, part, bans, is_suspect=is_suspect)
            reading = await asyncio.wrap_future(job)
            bans = () if part in _RULES else bans
            if generation is not None and _is_clean(reading) and len(bans) <= _FEW_BANS:
                self._alike[part] = _Alike(generation, allowlist, bans, time.monotonic())
            for _ in self._keeper.judge(part, reading, time.time()):
                await asyncio.sleep(0)
        except SYSTEM_FAULTS as error:
            if is_suspect and may_rewrite:
                self._keeper.rewrite(part, time.time())
            elif is_suspect:
                self._keeper.suspects[part] = None
            return explain(error)
        return ""

    def _report(self) -> None:
        """Report a part that was not compared for too long."""
        part = min(self._compared_s, key=lambda one: self._compared_s[one])
        is_stale = time.monotonic() - self._compared_s[part] > _STALE_S
        why = self._why_not[part] or "the comparison does not keep up"
        text = f"is not known to be as it should: {part} was not compared for {int(_STALE_S // 60)} minutes ({why})"
        self._keeper.fault("comparison", text if is_stale else "")


def _is_clean(reading: list[str] | Reading) -> bool:
    """Return whether nothing at all was found that is not as it should be, nor anything that others added."""
    return not (reading.wrong or reading.strangers or reading.more) if isinstance(reading, Reading) else not reading
