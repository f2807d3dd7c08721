"""Saves state off the data path: collects changes on the loop's thread, writes them from a worker thread."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import NamedTuple

from monitor.model.addresses import Network
from monitor.model.bans import Ban, Offence, claim_key
from monitor.model.cursors import Cursor
from monitor.model.errors import TemporaryError
from monitor.model.retry import Worker
from monitor.state.changes import Allowed, SavedContent, StateChanges, TallyKey
from monitor.state.copier import Copier
from monitor.state.store import Store
from monitor.state.writing import Outcome, open_outcome, save

_log = logging.getLogger(__name__)
_RETRY_FIRST_S = 1.0
_RETRY_LAST_S = 30.0
_MAX_NOTICES = 20


class _Job(NamedTuple):
    """The current job of the worker."""

    future: futures.Future[Outcome]
    changes: StateChanges
    purge: tuple[float, int] | None
    durable: bool


class Saver:
    """Owns the store. All methods are for the loop's thread; only `open`, `flush` and `close` wait for the disk.

    While saving fails, all changes stay pending and are tried again; a store that failed is reopened, which sets a
    damaged file aside. Pending bans are bounded by the ledger, the rest by `max_offences` and `max_removals`.
    """

    def __init__(
        self,
        path: Path,
        on_opened: Callable[[Store], None] | None = None,
        *,
        max_offences: int = 100_000,
        max_removals: int = 200_000,
        clock: Callable[[], float] = time.monotonic,
        open_store: Callable[[Path], Store] = Store.open,
        open_first: Callable[[Path], Store] | None = None,
    ) -> None:
        """Nothing is opened yet.

        `on_opened` is called from `tick` or `flush` with a store that was opened after the start, when the pending
        changes are in it: if it `is_new`, the daemon must add all its state again; if not, it may contain state that
        could not be read at the start. `clock` is monotonic, in seconds. `open_first` opens the store at the start
        (default: as later).
        """
        self._path = path
        self._on_opened = on_opened
        self._max_offences = max_offences
        self._max_removals = max_removals
        self._clock = clock
        self._open_store = open_store
        self._open_first = open_first or open_store
        self.copier = Copier(clock)
        self._worker = Worker("saver")
        self._pending = StateChanges()
        self._purge: tuple[float, int] | None = None
        self._job: _Job | None = None
        self._retry_at_s = 0.0
        self._retry_after_s = _RETRY_FIRST_S
        self._is_synced = True
        self._old_notices: deque[str] = deque(maxlen=_MAX_NOTICES)
        self.store: Store | None = None
        """The store, for reading; None while it does not work."""
        self.trouble = ""
        """Why state is not being saved, for `status`; empty while it is."""
        self.written_total = 0
        """Rows written or removed."""
        self.failures_total = 0
        self.dropped_offences_total = 0
        """Offences that were not written because too many were pending."""
        self.added_since_purge = 0
        """Offences added since `purge` was called last."""
        self.dropped_removals_total = 0
        """Removals of bans that were not written: such a ban is still in the file, with its expiry."""

    @property
    def is_saving_ok(self) -> bool:
        """Whether the last attempt to open or write succeeded."""
        return not self.trouble

    @property
    def pending(self) -> int:
        """The number of changes that are not written yet."""
        return len(self._pending) + (len(self._job.changes) if self._job else 0)

    @property
    def has_news(self) -> bool:
        """Whether changes wait for `tick` to write them."""
        return bool(self._pending)

    @property
    def notices(self) -> list[str]:
        """Notices for the operator on this store and earlier ones, one sentence each."""
        return [*self._old_notices, *(self.store.notices if self.store else ())]

    def open(self) -> Store | None:
        """Open the store at the start of the daemon; None if that fails: `trouble` says why, and `tick` tries again."""
        return self._open(self._open_first)

    def reopen(self) -> Store | None:
        """Open a store again that was distrusted while it was read at the start; otherwise as `open`."""
        return self._open(self._open_store)

    def _open(self, open_store: Callable[[Path], Store]) -> Store | None:
        outcome = open_outcome(open_store, self._path)
        if outcome.error:
            self._failed(str(outcome.error))
        elif outcome.store:
            self._succeeded(outcome)
        return self.store

    def put_ban(self, ban: Ban) -> None:
        """Save a claim; it replaces the earlier one of the same origin."""
        self._pending.put_ban(ban)

    def remove_ban(self, ban: Ban) -> None:
        """Remove a claim."""
        self._pending.remove_ban(claim_key(ban))
        self._bound()

    def clear_bans(self) -> None:
        """Remove all claims, also those of a file that cannot be read yet."""
        self._pending.clear_bans()

    def add_offence(self, offence: Offence) -> None:
        """Append an offence to the history."""
        self.dropped_offences_total += self._pending.add_offence(offence, self._max_offences)
        self.added_since_purge += 1

    def count_offence(self, key: TallyKey) -> None:
        """Count an offence in the history's tallies."""
        self._pending.tallies[key] += 1

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return the cursors on disk, by name; empty while the store does not work."""
        return self.store.cursors() if self.store else {}

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Save a cursor; must be called after the events before it were passed on."""
        self._pending.cursors[name] = cursor

    def load_windows(self) -> Mapping[str, SavedContent]:
        """Return what detectors counted, by name; empty while the store does not work."""
        return self.store.windows() if self.store else {}

    def save_window(self, name: str, saved: SavedContent) -> None:
        """Save what a detector counted, together with all cursors up to now: nothing is counted twice."""
        self._pending.windows[name] = saved

    def put_allowed(self, entry: Allowed) -> None:
        """Save a network that was allowed by an operator."""
        self._pending.allowed[entry.network] = entry

    def remove_allowed(self, network: Network) -> None:
        """Remove a network that was allowed by an operator."""
        self._pending.allowed[network] = None

    def purge(self, before_s: float, max_offences: int) -> None:
        """Schedule the deletion of offences before `before_s`, and of the oldest beyond `max_offences`."""
        self._purge = before_s, max_offences
        self.added_since_purge = 0

    def tick(self) -> None:
        """Start writing if changes are pending and the worker is idle; must be called each second."""
        if self._job and not self._job.future.done():
            return
        self._collect()
        if self.store:
            self._examine(self.store)
        is_wanted = self._pending or self._purge or self.store is None
        if is_wanted and self._clock() >= self._retry_at_s:
            self._begin(durable=False)

    def distrust(self, reason: str) -> None:
        """Close a store that could not be read: it is opened again, which replaces a damaged file."""
        if self.store and not self._job:
            self.store.close()
            self._failed(reason)

    def _examine(self, store: Store) -> None:
        """Find out whether the file was replaced, also while nothing is written, and whether it can be copied."""
        try:
            store.check_identity()
        except TemporaryError as error:
            self.distrust(str(error))
        else:
            if not self.copier.tick(store):
                self.distrust(self.copier.trouble)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Write all changes to the disk now; False if that fails or takes longer: then they stay pending."""
        deadline_s = time.monotonic() + timeout_s
        if not self._wait(deadline_s):
            return False
        if self.store is not None and self._is_synced and not self._pending:
            return True
        self._begin(durable=True)
        return self._wait(deadline_s) and self.is_saving_ok

    async def save_now(self, timeout_s: float = 2.0) -> bool:
        """Like `flush`, but the loop works on meanwhile, and what it changes after this call is not waited for."""
        deadline_s = time.monotonic() + timeout_s
        while self._job:
            if not await self._done(self._job, deadline_s):
                return False
        if self.store is not None and self._is_synced and not self._pending:
            return True
        return await self._done(self._begin(durable=True), deadline_s) and self.is_saving_ok

    async def _done(self, job: _Job, deadline_s: float) -> bool:
        """Wait for a job on the loop, and process its result unless `tick` did; False if it is not done by then."""
        waited = asyncio.wrap_future(job.future)
        await asyncio.wait([waited], timeout=max(0.0, deadline_s - time.monotonic()))
        if not job.future.done():
            return False
        if self._job is job:
            self._collect()
        return True

    def close(self, timeout_s: float = 10.0) -> bool:
        """Write all changes and close; False if some could not be saved. No other call may follow."""
        self._on_opened = None
        is_saved = self.flush(timeout_s)
        if not is_saved:
            _log.error("%d changes could not be saved: %s", self.pending, self.trouble or "the disk is too slow")
        if self.store and not self._job:
            self.copier.finish(self.store, timeout_s)
            futures.wait([self._worker.submit(self.store.close)], timeout_s)
        self._worker.shutdown()
        return is_saved

    def _begin(self, *, durable: bool) -> _Job:
        """Pass all pending changes to the worker; return its job."""
        changes, self._pending = self._pending, StateChanges()
        purge = None
        if not durable:  # a durable write is waited for, so do not purge in it
            purge, self._purge = self._purge, None
        future = self._worker.submit(save, self._open_store, self._path, self.store, changes, purge, durable)
        self._job = _Job(future, changes, purge, durable)
        return self._job

    def _wait(self, deadline_s: float) -> bool:
        """Wait for the worker and process its result; False if it is not done by then."""
        if self._job:
            futures.wait([self._job.future], max(0.0, deadline_s - time.monotonic()))
            if not self._job.future.done():
                return False
            self._collect()
        return True

    def _collect(self) -> None:
        """Process the result of the worker."""
        job, self._job = self._job, None
        if job is None:
            return
        fault = job.future.exception()
        outcome = Outcome(None) if fault else job.future.result()
        if fault or outcome.error:
            if fault and not isinstance(fault, TemporaryError):
                _log.error("an internal fault prevented saving state; please report this", exc_info=fault)
            later, self._pending = self._pending, job.changes
            self._pending.follow(later)
            self._purge = self._purge or job.purge
            self._bound()
            self._failed(str(fault if isinstance(fault, TemporaryError) else outcome.error or repr(fault)))
            return
        self.written_total += len(job.changes)
        if job.changes.is_worth_a_copy:
            self.copier.want()
        self._is_synced = job.durable or (self._is_synced and not job.changes)
        self._succeeded(outcome)
        if outcome.opened and outcome.store and self._on_opened:
            self._on_opened(outcome.store)

    def _succeeded(self, outcome: Outcome) -> None:
        if self.trouble:
            _log.info("state is being saved again")
        if outcome.opened and outcome.store:
            for notice in outcome.store.notices:
                _log.warning("%s", notice)
        self.store = outcome.store
        self.trouble = ""
        self._retry_after_s = _RETRY_FIRST_S
        self._retry_at_s = 0.0

    def _failed(self, reason: str) -> None:
        if not self.trouble:
            _log.error("state is not being saved: %s; retrying, unsaved changes stay in memory", reason)
        if self.store:
            self._old_notices.extend(notice for notice in self.store.notices if notice not in self._old_notices)
        self.store = None
        self.trouble = f"state is not being saved: {reason}"
        self.failures_total += 1
        self._retry_at_s = self._clock() + self._retry_after_s
        self._retry_after_s = min(2 * self._retry_after_s, _RETRY_LAST_S)

    def _bound(self) -> None:
        """Drop the oldest pending offences and removals above the limits: recent ones matter more."""
        self.dropped_offences_total += self._pending.bound_offences(self._max_offences)
        self.dropped_removals_total += self._pending.bound_removals(self._max_removals)
