"""What outlives the process: read at the start, or as soon as the store can be read, and kept up to date."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from monitor.daemon.life.clock_trust import ClockTrust
from monitor.daemon.life.known_services import KnownServices
from monitor.daemon.life.restore import HISTORY_S, MAX_OFFENCES, Kept, catch_up, correct, restore
from monitor.daemon.life.saved_windows import SavedPart, SavedWindows
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.bans import claim_key
from monitor.model.errors import TemporaryError
from monitor.state.changes import Allowed
from monitor.state.saver import Saver
from monitor.state.store import Store
from monitor.state.store_reader import DamagedFile

_log = logging.getLogger(__name__)
_PURGE_EVERY_S = 3600.0


class State:
    """Joins store and pipeline. All methods are for the loop's thread."""

    def __init__(
        self,
        saver: Saver,
        pipeline: Pipeline,
        clock: ClockTrust | None = None,
        is_settled: Callable[[], bool] = lambda: True,
        *,
        history_age_s: float = HISTORY_S,
        history_rows: int = MAX_OFFENCES,
        more: Sequence[SavedPart] = (),
    ) -> None:
        """Read nothing yet.

        The history keeps `history_rows` entries of the last `history_age_s`. `is_settled` tells whether the cursors of
        sources are where events were handed on to; `more` is kept over a restart like the windows of detectors.
        """
        self._saver = saver
        self._history_age_s = history_age_s
        self._history_rows = history_rows
        self._pipeline = pipeline
        self._services = KnownServices(pipeline.evidence.services, saver, told=pipeline)
        self._windows = SavedWindows(saver, pipeline, is_settled, more)
        self._kept: Kept = {}
        self._is_read = False
        """Whether the bans that an earlier run saved are known."""
        self._purge_at_s = 0.0
        self.clock = clock or ClockTrust(saver)

    def open(self) -> None:
        """Open the store, and read what sources and detectors need; without a store that is nothing."""
        if self._saver.open():
            self.clock.open(time.monotonic(), time.time())
        self._services.open(time.time(), self.clock.ahead_s)
        if restored := self._windows.restore(time.time()):
            _log.info("%d detectors continue to count where the last run ended", restored)

    def restore(self) -> int:
        """Bring back what was in force, from store and kernel; return how many bans are."""
        store = self._saver.store
        ahead_s = self.clock.ahead_s
        try:
            in_force = restore(self._pipeline, store, self._saver, time.time, ahead_s=ahead_s, kept=self._kept)
        except TemporaryError as error:  # what was read stays; `opened` reads the rest
            self._saver.distrust(str(error))
            in_force = restore(self._pipeline, None, self._saver)
            if in_force:  # some are in the ledger, but were not yet on their way to the kernel
                self._pipeline.table.set_up(time.time())
            return self._read_what_is_left(in_force) if isinstance(error, DamagedFile) else in_force
        self._is_read = store is not None and not store.is_new
        return in_force

    def _read_what_is_left(self, in_force: int) -> int:
        """Replace a damaged store at once, by all that can be read of it; return how many bans are in force then."""
        store = self._saver.reopen()
        if store is None:
            return in_force
        self.opened(store)
        return self._pipeline.ledger.in_force

    def opened(self, store: Store) -> None:
        """Take a store that could be opened only now: read what it knows, and tell it what it cannot know."""
        pipeline, now_s = self._pipeline, time.time()
        if self._is_read and not store.is_new:
            self._forget_ended(store)
        elif not store.is_new:
            try:
                self.clock.open(time.monotonic(), now_s)
                found = catch_up(pipeline, store, self._saver, ahead_s=self.clock.ahead_s, kept=self._kept)
            except TemporaryError as error:
                self._saver.distrust(str(error))
                return
            _log.warning("the saved state can be read now: %d bans of it were not in force, and are", found)
        self._is_read = self._is_read or not store.is_new
        for claim in pipeline.ledger.all_claims():
            self._saver.put_ban(claim)
        for entry in pipeline.added:
            self._saver.put_allowed(Allowed(entry.network, entry.reason, now_s))

    def _forget_ended(self, store: Store) -> None:
        """Strike out bans that a store, saved from its second copy, has although they ended."""
        in_force = {claim_key(claim) for claim in self._pipeline.ledger.all_claims()}
        try:
            for ban in store.bans():
                if claim_key(ban) not in in_force:
                    self._saver.remove_ban(ban)
        except TemporaryError as error:
            self._saver.distrust(str(error))

    def tick_parts(self, now_s: float) -> dict[str, Callable[[], object]]:
        """Return what is due each second, by name: the supervisor keeps their faults apart."""
        return {
            "saving known services": partial(self._services.tick, now_s),
            "judging the clock": partial(self._judge_clock, now_s),
            "saving what detectors counted": partial(self._windows.tick, now_s),
            "saving state": self._saver.tick,
            "purging history": partial(self._purge, now_s),
        }

    def _judge_clock(self, now_s: float) -> None:
        """Give claims their own times once the clock is believed."""
        if self.clock.tick(time.monotonic(), now_s):
            _log.info("the clock is believed; %d bans that were saved before end when they should", len(self._kept))
            kept, ahead_s = self._kept, self.clock.ahead_s
            self._kept, self.clock.ahead_s = {}, 0.0
            correct(self._pipeline, kept, ahead_s, now_s)

    def _purge(self, now_s: float) -> None:
        """Delete old history, once an hour, and whenever a tenth of what is kept was added."""
        is_due = not 0 <= self._purge_at_s - now_s <= _PURGE_EVERY_S
        if self.clock.is_believed and (is_due or self._saver.added_since_purge > self._history_rows // 10):
            self._purge_at_s = now_s + _PURGE_EVERY_S
            self._saver.purge(now_s - self._history_age_s, self._history_rows)

    def notices(self) -> list[str]:
        """Report that the history is full."""
        store = self._saver.store
        if store is None or not store.removed_early:
            return []
        days = self._history_age_s / 86400.0
        text = (
            f"the history is full: entries are removed before they are {days:g} days old, first those that anyone can "
            f"forge; raise state.history_rows ({self._history_rows}) to keep more"
        )
        return [text]

    def follow_clock(self, step_s: float, last_look_s: float, now_s: float) -> None:
        """Keep the time that bans still have when the clock is set: the kernel's timeouts know nothing of it."""
        self.clock.stepped(step_s)
        self._pipeline.follow_clock(step_s, last_look_s, now_s)

    def close(self, timeout_s: float) -> None:
        """Save what is to be known after a restart."""
        self._services.close()
        self.clock.save(time.time())
        self._windows.save(time.time())
        self._saver.close(timeout_s)
