"""What was in force before is in force again, in the ledger and in the kernel, whichever was ahead.

Normally at the start. A store that could not be read then is read when it can (`catch_up`). While the clock is not
believed (`clock_trust`), saved times are moved by as much as the clock is ahead of the one that they are by; the claims
are kept as they were saved, and get their own times when the clock is believed (`correct`).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from msgspec.structs import replace

from monitor.bans.claims import Claims, claim_rank
from monitor.bans.decision import Ending
from monitor.bans.ledger import Ledger
from monitor.bans.merge import Merged, Merging, Plain, is_restored, merge
from monitor.daemon.life import memory
from monitor.daemon.life.filling import Filling
from monitor.daemon.pipeline.decision_record import Record
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimKey, Mode, Offence, claim_key
from monitor.model.errors import TemporaryError, explain
from monitor.recording.inputs import Restored
from monitor.state.saver import Saver
from monitor.state.store import Store

_log = logging.getLogger(__name__)

HISTORY_S = 28 * 86400.0
"""How long offences are counted, if the history is kept for so long."""

MAX_OFFENCES = 100_000
"""How many are counted: reading them is part of every start."""

Kept: TypeAlias = dict[ClaimKey, Ban]
"""Claims as they were saved, by a clock that is not that of now."""

_SAME_S = 2.0


def restore(
    pipeline: Pipeline,
    store: Store | None,
    record: Record | None = None,
    clock: Callable[[], float] = time.time,
    *,
    ahead_s: float = 0.0,
    kept: Kept | None = None,
) -> int:
    """Fill the ledger from store and kernel, then the kernel from the ledger; return how many bans are in force.

    `record` receives what the store lacks. `clock` gives wall time: with many bans this takes a while, which must not
    be added to their time. Without a store the kernel's own sets are what is known; without a table the store
    is. `ahead_s` is how far the clock is ahead of that of the store; `kept` then gets the claims as they were saved.
    """
    now_s = clock()
    counted: list[Offence] = []
    if store:
        pipeline.allow_again([allowed.entry for allowed in store.allowed()], now_s)
        pipeline.policy.remember(pipeline.noted(history(store, now_s - ahead_s), counted))
    is_found = pipeline.table.exists()
    held = pipeline.table.held(clock, store.count_addresses(now_s - ahead_s) if store and is_found else {})
    filling = Filling(pipeline.table, clock)
    kept = {} if kept is None else kept
    entering = _Entering(pipeline, record, filling, kept, now_s)
    merging = Merging(held, now_s)
    with filling:
        if is_found or pipeline.enforces:
            filling.begin()
        for batch in store.ban_batches() if store else ():
            plain, others = (None, batch) if ahead_s else merging.split(batch)
            if plain and plain.bans:
                entering.enter_plain(plain)
            for merged in merging.claims(_running(others, record, now_s, ahead_s, kept)):
                entering.enter(merged)
        for merged in merging.rest():
            entering.enter(merged)
        filling.send()
        if filling.is_long:
            memory.collect()  # in the time of the kernel
    _conclude(pipeline, filling, entering, clock)
    _record(pipeline, counted, clock())
    pipeline.bans.spare(clock())
    return sum(pipeline.ledger.count(Mode.ENFORCE, strength) for strength in Strength)


def catch_up(
    pipeline: Pipeline,
    store: Store,
    record: Record,
    clock: Callable[[], float] = time.time,
    *,
    ahead_s: float,
    kept: Kept,
) -> int:
    """Do what `restore` would have done, had the store been readable; return how many claims were not known.

    Claims that were made since are the newer ones. Those that only the kernel knew at the start are replaced by the
    ones that explain them.
    """
    now_s = clock()
    ledger = pipeline.ledger
    counted: list[Offence] = []
    pipeline.allow_again([allowed.entry for allowed in store.allowed()], now_s)
    pipeline.policy.relearn(pipeline.noted(history(store, now_s - ahead_s), counted))
    filling = Filling(pipeline.table, clock)
    entering = _Entering(pipeline, record, filling, kept, now_s)
    found = 0
    with filling:
        for merged in merge(_running(store.bans(), record, now_s, ahead_s, kept), (), now_s):
            key = claim_key(merged.ban)
            if any(claim_key(claim) == key for claim in ledger.claims(merged.ban.network, merged.ban.strength)):
                kept.pop(key, None)
                continue
            entering.enter(merged)
            found += 1
    _conclude(pipeline, filling, entering, clock)
    for claim in [claim for claim in ledger.all_claims() if is_restored(claim)]:
        if _is_explained(claim, pipeline):
            ledger.withdraw(claim.network, claim.strength, is_restored, now_s)
            record.remove_ban(claim)
    _record(pipeline, counted, now_s, is_late=True)
    pipeline.bans.spare(clock())
    return found


def _conclude(pipeline: Pipeline, filling: Filling, entering: "_Entering", clock: Callable[[], float]) -> None:
    """Report what the kernel refused, and lift what was not entered or yielded.

    The kernel is filled again from the ledger where filling failed, as when somebody deleted the table meanwhile, and
    where bans yielded: stronger ones were refused while the weaker were in their set, and a set that became smaller
    kept the bans that end last, not the strongest. If that fails, ticks try it again.
    """
    is_filled = not entering.is_crowded
    try:
        failures = filling.failures()
    except (TemporaryError, OSError) as error:
        _log.warning("the bans that were saved could not all be put into force (%s): trying again", explain(error))
        is_filled = False
    if is_filled:
        pipeline.table.give_up(failures, clock())
    pipeline.bans.lift(entering.unwanted(), clock(), Ending.ALLOWLISTED)
    if not is_filled:
        pipeline.table.is_wanted, pipeline.table.is_up = True, False
        pipeline.table.repair(clock())


def _record(pipeline: Pipeline, counted: list[Offence], now_s: float, *, is_late: bool = False) -> None:
    """Record what is in force by now."""
    if pipeline.tap.is_open:
        claims, allowed = list(pipeline.ledger.all_claims()), list(pipeline.added)
        pipeline.remembered(Restored(now_s, claims, counted, allowed, is_late=is_late))


def correct(pipeline: Pipeline, kept: Kept, ahead_s: float, now_s: float) -> None:
    """Give claims the times that they were saved with, now that the clock is believed.

    A claim that starts in the future was saved by another clock: it keeps the time that it has left. `ahead_s` is by
    how much claims were moved until now.
    """
    claims = []
    for key, saved in kept.items():
        known = next((one for one in pipeline.ledger.claims(*key[:2]) if claim_key(one) == key), None)
        if known is not None and abs(known.since_s - saved.since_s - ahead_s) < _SAME_S:  # or it was claimed anew
            claims.append(known if saved.since_s > now_s + _SAME_S else saved)
    pipeline.correct(claims, now_s)


class _Entering:
    """Enters claims into the ledger, and what they amount to into the kernel."""

    def __init__(self, pipeline: Pipeline, record: Record | None, filling: Filling, kept: Kept, now_s: float) -> None:
        self._pipeline = pipeline
        self._record = record
        self._filling = filling
        self._kept = kept
        self._now_s = now_s
        self._gone: list[Ban] = []
        self.is_crowded = False
        """Whether there was no room for all: `bans.max_bans` was reduced."""

    def enter(self, merged: Merged) -> None:
        """Enter one claim, unless its network is protected by now or nobody weaker makes room."""
        ledger, ban = self._pipeline.ledger, merged.ban
        is_protected = self._pipeline.guard.protects(ban.network) is not None
        is_wanted, yielding = (False, ()) if is_protected else _make_room(ledger, ban)
        self.is_crowded |= not is_protected and (bool(yielding) or not is_wanted)
        for gone in yielding if is_wanted else (ban,):
            self._gone.append(gone)
            if self._record:
                self._record.remove_ban(gone)
        if not is_wanted:
            return
        ledger.put(ban, self._now_s)
        if merged.is_news and self._record:
            self._record.put_ban(ban)
            self._kept.pop(claim_key(ban), None)
        if ban.mode is Mode.ENFORCE and not (merged.is_held and ban.network.is_host):
            self._filling.add(ban)

    def enter_plain(self, plain: Plain) -> None:
        """Enter bans that are as they are stored, all at once if there is room and none is protected."""
        pipeline, ledger = self._pipeline, self._pipeline.ledger
        is_room = ledger.in_force + len(plain.bans) <= ledger.max_bans
        if is_room and not pipeline.guard.shields_any([ban.network.address for ban in plain.bans]):
            ledger.put_hosts(plain.bans, plain.keys)
            self._filling.add_all(plain.missing)
            return
        missing = {ban.key for ban in plain.missing}
        for ban, key in zip(plain.bans, plain.keys, strict=True):
            self.enter(Merged(ban, is_news=False, is_held=key not in missing))

    def unwanted(self) -> list[Ban]:
        """Return the claims that were not entered, or yielded, and whose networks no other claim holds."""
        return [ban for ban in self._gone if not _is_in_force(self._pipeline.ledger, ban)]


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


def _running(stored: Iterable[Ban], record: Record | None, now_s: float, ahead_s: float, kept: Kept) -> Iterator[Ban]:
    """Yield the stored claims that have not ended, by the clock of now; strike the others out of the store."""
    for ban in stored:
        if ban.until_s + ahead_s <= now_s:
            if record:
                record.remove_ban(ban)
        elif ahead_s:
            kept[claim_key(ban)] = ban
            yield replace(ban, since_s=ban.since_s + ahead_s, until_s=ban.until_s + ahead_s)
        else:
            yield ban


def _is_explained(claim: Ban, pipeline: Pipeline) -> bool:
    """Whether other claims of its network, or of prefixes around it, last as long."""
    return any(
        not is_restored(other) and other.until_s + _SAME_S >= claim.until_s
        for around in pipeline.ledger.covering(claim.network)
        if around.strength is claim.strength and not around.network.ports
        for other in pipeline.ledger.claims(around.network, around.strength)
    )


def history(store: Store | None, now_s: float) -> Iterator[Offence]:
    """Yield the offences that still count, oldest first."""
    if store:
        yield from store.offences(now_s - HISTORY_S, MAX_OFFENCES)


def offences_of(saver: Saver, network: Network, limit: int) -> list[Offence]:
    """Return the offences of a network that are on disk, newest first; none if they cannot be read now."""
    try:
        return saver.store.offences_of(network, limit) if saver.store else []
    except TemporaryError:
        return []
