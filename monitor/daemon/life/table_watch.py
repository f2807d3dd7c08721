"""Watches the table for changes by other programs, on the loop: by notifications, and by comparing it part by part.

Notifications are gathered for a moment, so that a dispute with another program does not become a storm. They are no
proof that nothing changed: after an overrun, after an error, and in any case every few minutes the table is compared
with what it should be. One part at a time, in a thread, with pauses: a full set takes a second to read.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Container

from monitor.enforcers.nftables.drift import Drift, DriftWatch
from monitor.enforcers.nftables.keeper import ALLOWLIST, DEFINITION, PARTS, TableKeeper
from monitor.model.errors import NodewardenError, TemporaryError

_log = logging.getLogger(__name__)
_REVERT_EVERY_S = 0.2
PAUSE_S = 7.5
"""The time between two comparisons: rules and allowlist are compared every 15 s, each set of bans every 3 minutes."""
_BUSY_SHARE = 20
"""After all parts were compared at once, the next time waits this many times as long as that took,"""
_MAX_WAIT_S = 60.0
"""but no longer than this."""
_STALE_S = 900.0
"""A part that could not be compared for this long is a problem."""


class TableWatch:
    """Has changes reverted by a `TableKeeper`."""

    def __init__(self, keeper: TableKeeper, ports: Container[int], pause_s: float = PAUSE_S) -> None:
        """`ports` are those of our own changes, `pause_s` the time between two comparisons in seconds."""
        self._keeper = keeper
        self._ports = ports
        self._pause_s = pause_s
        self._watch: DriftWatch | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: list[Drift] = []
        self._next_revert_s = 0.0
        self._comparing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._all_from_s = 0.0
        self._compared_s = dict.fromkeys(PARTS, time.monotonic())
        self._why_not = dict.fromkeys(PARTS, "")

    @property
    def oldest_s(self) -> float:
        """How long ago the part was compared that was not compared for the longest time, in seconds."""
        return time.monotonic() - min(self._compared_s.values())

    def open(self) -> None:
        """Start to listen for notifications; if that fails, comparisons alone find changes, and it is tried again."""
        try:
            self._watch = DriftWatch(self._ports)
        except (NodewardenError, OSError) as error:
            self._keeper.fault("notifications", f"is compared only every few minutes, no change is notified: {error}")
            return
        self._keeper.fault("notifications", "")
        if self._loop:
            self._loop.add_reader(self._watch.fileno(), self._readable)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read and compare on this loop."""
        self._loop = loop
        if self._watch:
            loop.add_reader(self._watch.fileno(), self._readable)
        self._comparing = loop.create_task(self._compare_always())

    def close(self) -> None:
        """Stop watching."""
        self._close_watch()
        if self._comparing:
            self._comparing.cancel()

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
        except TemporaryError as error:
            self._close_watch()
            self._keeper.fault("notifications", f"is compared only every few minutes: {error}")
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
        self._keeper.revert(drifts, time.time())
        if self._keeper.suspects:
            self._wake.set()

    def _compare_all(self) -> None:
        self._keeper.suspects |= dict.fromkeys(PARTS)
        self._wake.set()

    async def _compare_always(self) -> None:
        for regular in itertools.cycle(part for name in PARTS[2:] for part in ((DEFINITION, ALLOWLIST), (name,))):
            await self._pause()
            if self._watch is None:
                self.open()
                self._compare_all()
            await self._compare_suspects()
            for part in regular:
                await self._compare(part, is_suspect=False)

    async def _pause(self) -> None:
        """Wait for the next comparison, or until something is suspected that may be compared now."""
        timeout_s = self._pause_s
        if self._keeper.suspects:  # left from the last time
            timeout_s = min(timeout_s, max(0.0, self._all_from_s - time.monotonic()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        self._wake.clear()

    async def _compare_suspects(self) -> None:
        """Compare what is suspected to have changed: rules and allowlist now, sets if that was not done just now."""
        is_due = time.monotonic() >= self._all_from_s
        started_s = time.monotonic()
        parts = [part for part in self._keeper.suspects if is_due or part in (DEFINITION, ALLOWLIST)]
        for part in parts:
            self._keeper.suspects.pop(part, None)
            await self._compare(part, is_suspect=True)
        if parts and is_due:
            took_s = time.monotonic() - started_s
            self._all_from_s = time.monotonic() + min(_MAX_WAIT_S, _BUSY_SHARE * took_s)

    async def _compare(self, part: str, *, is_suspect: bool) -> None:
        """Compare a part and have it reverted; what is suspected and cannot be read is written anew."""
        if not self._keeper.is_needed:
            self._compared_s[part] = time.monotonic()
            return
        try:
            reading = await asyncio.to_thread(self._keeper.read, part, self._keeper.snapshot())
            for _ in self._keeper.judge(part, reading, time.time()):
                await asyncio.sleep(0)
        except (NodewardenError, OSError) as error:
            self._why_not[part] = str(error)
            if is_suspect:
                self._keeper.rewrite(part, time.time())
        except Exception as error:  # noqa: BLE001 - it must be tried again and reported, never just end
            _log.exception("comparing the %s of the table failed; please report this", part)
            self._why_not[part] = f"internal fault {type(error).__name__}"
        else:
            self._compared_s[part] = time.monotonic()
            self._why_not[part] = ""
        self._report()

    def _report(self) -> None:
        """Report a part that was not compared for too long."""
        part = min(self._compared_s, key=lambda one: self._compared_s[one])
        is_stale = time.monotonic() - self._compared_s[part] > _STALE_S
        why = self._why_not[part] or "the comparison does not keep up"
        text = f"is not known to be as it should: {part} was not compared for {int(_STALE_S // 60)} minutes ({why})"
        self._keeper.fault("comparison", text if is_stale else "")
