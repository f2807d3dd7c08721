"""Keeps the block lists of the configuration in force: reads copies, fills the kernel's table, compares it.

All work is done by one task on the loop, one thing after the other; what happens elsewhere (a new copy, a changed
allowlist, a reload) only marks what is to be done and wakes it. The allow sets alone are written at once.

Lists never delay or end a ban: they are in a table of their own, and no claim of the ledger is theirs.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from monitor.daemon.lists.copies import Copies
from monitor.daemon.lists.filling import Filling, Interrupted
from monitor.daemon.lists.held import Due, HeldList
from monitor.daemon.lists.sampling import expected
from monitor.enforcers.nftables.list_frame import ListFrame
from monitor.enforcers.nftables.list_table import ListTable
from monitor.model.addresses import Network
from monitor.model.bans import Mode
from monitor.model.clock import ClockSteps
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.retry import Backoff
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_COMPARE_EVERY_S = 15.0
_MOST_REFUSALS, _LONGEST_RETRY_S = 3, 60.0
_SUSPECT_S = 1.0
"""How often the table is compared at most while others change nf_tables."""


class ListKeeper:
    """The lists of one daemon."""

    name = "lists"

    def __init__(
        self,
        settings: Settings,
        protected: Callable[[], Sequence[Network]],
        table: ListTable | None = None,
        compare_every_s: float = _COMPARE_EVERY_S,
        retry_s: float = 1.0,
    ) -> None:
        """Open nothing yet. `protected` returns what is allowed, disjoint."""
        self._protected = protected
        self._state: Path = settings.state.directory
        self._refusals = 0
        """How often in a row the table could not be set up."""
        self._table = table or ListTable()
        self._compare_every_s = compare_every_s
        self._filling = Filling(self._table)
        self._copies = Copies()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._retry_s = retry_s
        self._backoff = Backoff(retry_s, _LONGEST_RETRY_S)
        self._published: list[ListFrame] = []
        self._is_known = False
        """Whether the kernel's rules are as this process wrote them."""
        self._may_exist = False
        """Whether there may be a table that is not wanted."""
        self._clock = ClockSteps(time.monotonic(), time.time())
        self._is_suspect = False
        self.table_fault = ""
        self.repairs_total = 0
        """How often the table was not as it should be."""
        self.lists: dict[str, HeldList] = {}
        self._follow(settings)

    def _follow(self, settings: Settings) -> None:
        self._mode: Mode = settings.mode
        before, self.lists = self.lists, {}
        for name, section in settings.lists.items():
            held = self.lists[name] = before.get(name) or HeldList(name, section)
            held.settings = section
            held.is_flushed = False

    @property
    def is_settled(self) -> bool:
        """Whether the kernel has what is wanted, as far as is known."""
        return self._is_known and all(held.in_kernel is held.wanted for held in self.lists.values() if held.frame)

    def reconfigure(self, settings: Settings) -> None:
        """Follow a changed configuration: lists that are no longer in it end."""
        self._follow(settings)
        self._wake.set()

    def loaded(self, name: str) -> bool:
        """Read the copy of a list again, soon; return whether there is such a list."""
        held = self.lists.get(name)
        if held is not None:
            held.is_unread, held.is_flushed = True, False
            self._wake.set()
        return held is not None

    def suspect(self) -> None:
        """Compare the table soon: somebody changed that of the bans, as `nft flush ruleset` does."""
        self._is_suspect = True
        self._wake.set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on this loop. The allow sets that an earlier daemon left are brought up to date at once."""
        try:
            if self._table.exists():
                if self.lists:
                    self._may_exist = True
                    self._table.allow(self._protected())
                else:
                    self._table.flush()
        except SYSTEM_FAULTS as error:
            if self.lists:
                self._remove_all(error)
        if not self.lists:
            self._table.close()
        self._task = loop.create_task(self._work())

    def tick(self) -> None:
        """Notice what time alone changes, and start again what a fault of our own ended; call it each second."""
        now_s = time.time()
        step_s, _ = self._clock.look(time.monotonic(), now_s)
        if step_s:
            self._is_known = False  # the times in the kernel are by the clock as it was
        if step_s or any((one.frame is not None) is not one.is_due(now_s) for one in self.lists.values()):
            self._wake.set()
        if self._task is not None and self._task.done() and not self._task.cancelled():
            ended, self._task = self._task, asyncio.get_running_loop().create_task(self._work())
            if error := ended.exception():
                raise error

    def allow(self, networks: Sequence[Network], _now_s: float) -> None:
        """Let these networks pass from now on, whatever lists say; where that fails, the lists go.

        Their entries are taken out of the sets soon after.
        """
        if self._may_exist:
            try:
                self._table.allow(networks)
            except SYSTEM_FAULTS as error:
                self._remove_all(error)
        self._wake.set()

    def flush(self) -> None:
        """Remove all lists from the kernel, until the next update or reload."""
        for held in self.lists.values():
            held.is_flushed = True
        self._remove()
        self._wake.set()

    def close(self) -> None:
        """Stop; lists stay in the kernel until they expire. Those that only count are removed."""
        if self._task:
            self._task.cancel()
        self._copies.close()
        if self._published and not any(frame.drops for frame in self._published):
            with contextlib.suppress(*SYSTEM_FAULTS):
                self._table.flush()
        self._table.close()

    def read_hits(self) -> None:
        """Read how many packets came that lists name."""
        if not self._published:
            return
        with contextlib.suppress(*SYSTEM_FAULTS):
            for name, stopped in self._table.hits(self._published).items():
                if name in self.lists:
                    self.lists[name].hits = stopped

    async def _work(self) -> None:
        compared_s = time.monotonic()
        await self._copies.look(list(self.lists.values()), self._state)
        while True:
            self._wake.clear()
            try:
                await self._round()
                if time.monotonic() - compared_s >= (_SUSPECT_S if self._is_suspect else self._compare_every_s):
                    compared_s, self._is_suspect = time.monotonic(), False
                    await self._copies.look(list(self.lists.values()), self._state)
                    await self._compare()
            except Interrupted:
                continue
            if any(one.is_unread for one in self.lists.values()):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_s):
                    await self._wake.wait()

    @property
    def _next_s(self) -> float | None:
        """How long to wait for the next round, in seconds; None where there is nothing to compare or to try again."""
        if not (self.lists or self._published or self._may_exist):
            return None
        return _SUSPECT_S if self._is_suspect else self._compare_every_s

    async def _round(self) -> None:
        """Do all that there is to do; what fails is tried again later."""
        for held in list(self.lists.values()):
            if held.is_unread and await self._copies.read(held, self._state):
                self._is_known = False  # the time in the kernel is that of the copy before
        if not self._backoff.is_due:
            return
        allowed = list(self._protected())
        for held in list(self.lists.values()):
            held.spare(allowed)
            await asyncio.sleep(0)
        now_s = time.time()
        due = [one.due(self._mode) for one in self.lists.values() if one.is_due(now_s)]
        failed = False
        for one in due:
            held = one.held
            if held.in_kernel is held.wanted:
                held.kernel_fault = ""
                continue
            self._may_exist = True
            try:
                await self._filling.bring(one)
                held.kernel_fault = ""
                self._is_known = False
                _log.info("list %s: %d networks are in the kernel", held.name, held.wanted.total)
            except SYSTEM_FAULTS as error:
                held.kernel_fault = f"the kernel does not have all of it: {explain(error)}"
                failed = True
        self._publish(due)
        if failed:
            self._backoff.failed()
        elif self._is_known:
            self._backoff = Backoff(self._retry_s, _LONGEST_RETRY_S)

    def _publish(self, due: Iterable[Due]) -> None:
        """Have the kernel's rules be those of the lists that are filled; without any, there is no table."""
        now_s = time.time()
        ready = [one for one in due if one.held.filled and one.held.is_due(now_s)]
        frames = [one.frame for one in ready]
        if not frames and not self._may_exist:
            return
        if frames == self._published and self._is_known:
            return
        try:
            if frames:
                left_s = {one.held.name: one.held.left_s(now_s) for one in ready}
                self._table.set_up(frames, self._protected(), left_s)
            else:
                self._table.flush()
            self._may_exist = bool(frames)
        except SYSTEM_FAULTS as error:
            self._refused(error)
            return
        self._refusals, self.table_fault = 0, ""
        self._published, self._is_known = frames, True
        by_name = {frame.name: frame for frame in frames}
        for held in self.lists.values():
            held.frame = by_name.get(held.name)
            if held.frame is None:
                held.filled = held.in_kernel = None

    async def _compare(self) -> None:
        """Compare the table with what it should be; what others changed is filled anew."""
        if not (self._published and self._is_known):
            return
        now_s, epoch = time.time(), self._filling.epoch
        held = [one for one in self.lists.values() if one.frame in self._published and one.in_kernel is not None]
        questions = [expected(one, now_s) for one in held]
        try:
            found = await self._copies.elsewhere(self._table.compare, questions)
        except SYSTEM_FAULTS as error:
            self.table_fault = f"it cannot be compared: {explain(error)}"
            return
        self.table_fault = ""
        if not found or epoch != self._filling.epoch or not self._is_known:
            return  # all is well, or it was written to meanwhile
        self.repairs_total += 1
        self._is_known = False
        _log.warning("the table of lists is repaired: %s", found)
        for one in held:
            if found.is_all or one.name in found.lists:
                one.in_kernel = None
        self._wake.set()

    def _refused(self, error: Exception) -> None:
        """Keep what is in force, whose allow sets are right, and try again; if that does not help, start anew."""
        self._refusals = (self._refusals + 1) % _MOST_REFUSALS
        if self._refusals:
            self.table_fault = f"it cannot be set up: {explain(error)}"
            self._backoff.failed()
        else:
            self._remove_all(error)

    def _remove_all(self, error: Exception) -> None:
        """Remove the table, which cannot be brought up to date: rather no list than one that drops what is allowed."""
        self.table_fault = f"it cannot be changed: {explain(error)}"
        _log.warning("the table of lists: %s", self.table_fault)
        self._backoff.failed()
        self._remove()

    def _remove(self) -> None:
        """Remove the table; if that fails, the next round tries again."""
        self._filling.epoch += 1
        self._published, self._is_known = [], False
        for held in self.lists.values():
            held.frame = held.filled = held.in_kernel = None
        with contextlib.suppress(*SYSTEM_FAULTS):
            self._table.flush()
            self._may_exist = False
