"""Start-up: what was in force before is in force again, in the ledger and in the kernel, whichever was ahead."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from monitor.bans.claims import Claims, claim_rank
from monitor.bans.decision import Ending
from monitor.bans.ledger import Ledger
from monitor.bans.merge import merge
from monitor.daemon.pipeline.decision_record import Record
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.protocol import Failure, Leader
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode, Offence
from monitor.model.retry import Worker
from monitor.state.store import Store

HISTORY_S = 28 * 86400.0
"""How long offences are kept and counted."""

MAX_OFFENCES = 100_000
"""How many are kept: reading them all is part of every start."""

_log = logging.getLogger(__name__)
_HANDFUL = 8192


def restore(
    pipeline: Pipeline, store: Store | None, record: Record | None = None, clock: Callable[[], float] = time.time
) -> int:
    """Fill the ledger from store and kernel, then the kernel from the ledger; return how many bans are in force.

    `record` receives what the store lacks. `clock` gives wall time: with many bans this takes a while, which must not
    be added to their time. Without a store the kernel's own sets are what is known; without a table the store
    is.
    """
    now_s = clock()
    if store:
        pipeline.allow([allowed.entry for allowed in store.allowed()], now_s, is_restored=True)
        pipeline.policy.remember(history(store, now_s))
    ledger = pipeline.ledger
    is_found = pipeline.table.exists()
    held = pipeline.table.held(clock)
    filling = _Filling(pipeline.table, clock)
    unwanted: list[Ban] = []
    for merged in merge(_running(store, record, now_s), held, now_s):
        ban = merged.ban
        is_protected = pipeline.guard.protects(ban.network) is not None
        is_wanted, yielding = (False, ()) if is_protected else _make_room(ledger, ban)
        for gone in yielding if is_wanted else (ban,):
            unwanted.append(gone)
            if record:
                record.remove_ban(gone)
        if not is_wanted:
            continue
        ledger.put(ban, now_s)
        if merged.is_news and record:
            record.put_ban(ban)
        if ban.mode is Mode.ENFORCE and not (merged.is_held and ban.network.is_host):
            filling.add(ban)
    if is_found or pipeline.enforces:
        filling.begin()
    pipeline.table.give_up(filling.finish(), clock())
    pipeline.bans.lift([ban for ban in unwanted if not _is_in_force(ledger, ban)], clock(), Ending.ALLOWLISTED)
    return sum(ledger.count(Mode.ENFORCE, strength) for strength in Strength)


def _make_room(ledger: Ledger, claim: Ban) -> tuple[bool, Claims]:
    """Return whether there is room for a claim, and the claims of the weakest ban, which yields if there is not.

    There is none where `bans.max_bans` was reduced.
    """
    if claim.mode is Mode.OBSERVE or not ledger.is_full or _is_in_force(ledger, claim):
        return True, ()
    weaker = ledger.weakest(claim_rank(claim))
    gone = ledger.remove(weaker.network, weaker.strength) if weaker else None
    return (False, ()) if gone is None else (True, gone[1])


def _is_in_force(ledger: Ledger, claim: Ban) -> bool:
    """Whether other claims hold the network of this one."""
    known = ledger.get(claim.network, claim.strength)
    return known is not None and known.mode is Mode.ENFORCE


class _Filling:
    """Fills the kernel's sets while the store is still being read: the kernel's part takes a third of the time."""

    def __init__(self, table: Leader, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._worker = Worker("restore")
        self._jobs: list[Future[list[Failure]]] = []
        self._waiting: list[Ban] = []

    def begin(self) -> None:
        """Make the table, once it is known that there will be one."""
        if not self._table.is_up:
            self._table.make()

    def add(self, ban: Ban) -> None:
        """Put a ban into the kernel soon."""
        self._waiting.append(ban)
        if len(self._waiting) >= _HANDFUL:
            self._submit()

    def finish(self) -> list[Failure]:
        """Wait until all are in; return what the kernel refused."""
        if self._waiting:
            self._submit()
        failures = [failure for job in self._jobs for failure in job.result()]
        self._worker.shutdown()
        return failures

    def _submit(self) -> None:
        self.begin()
        bans, self._waiting = self._waiting, []
        self._jobs.append(self._worker.submit(lambda: self._table.fill(bans, self._clock())))


def _running(store: Store | None, record: Record | None, now_s: float) -> Iterator[Ban]:
    """Yield the stored claims that have not ended; strike the others out of the store."""
    for ban in store.bans() if store else ():
        if ban.until_s > now_s:
            yield ban
        elif record:
            record.remove_ban(ban)


def history(store: Store | None, now_s: float) -> Iterator[Offence]:
    """Yield the offences that still count, oldest first."""
    if store:
        yield from store.offences(now_s - HISTORY_S)
