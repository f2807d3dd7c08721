"""What peers sent is worked off in slices, a peer at a time in turn: packets, logs and people never wait for a fleet.

A slice is one batch for the kernel. Between two of them the loop serves everything else.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from monitor.daemon.fleet.holdings import Holdings
from monitor.fleet.adoption import Adoption
from monitor.fleet.engine import Change, Kind
from monitor.fleet.fields import read_field
from monitor.fleet.intake import Begin, End, Intake
from monitor.fleet.peers import Peer, Peers
from monitor.fleet.plan import Plan
from monitor.fleet.refusals import Cause
from monitor.model.bans import Ban, ClaimOrigin, ban_key

_log = logging.getLogger(__name__)
SLICE = 64
"""Changes of what is held already in one slice."""
_PART = 32
_LOOKS_S = 0.003
"""For how long (of the processor) records are looked at for one slice. Deciding on them takes as long twice again."""
_MOST_EFFORT = 256
"""What a slice may ask of the kernel (`Plan.effort`), however quickly that was looked at."""
_LOOKED_AT = 2048
"""Bans that a job looks at in one slice."""

Job = Iterator[Plan]
"""Work on claims that are held, as plans of a slice each."""


class _Snapshot:
    """A snapshot that comes in: the keys in it so far, and how many of them were held when it began."""

    __slots__ = ("held_before", "known", "seen")

    def __init__(self, held_before: int) -> None:
        self.seen: set[bytes] = set()
        self.known = 0
        self.held_before = held_before

    @property
    def has_ends(self) -> bool:
        """Whether something was held that is not in it: only then all bans are looked through."""
        return self.known < self.held_before


class Work:
    """Applies what waits, a slice with each `step`."""

    def __init__(
        self,
        intake: Intake,
        adoption: Adoption,
        holdings: Holdings,
        peers: Peers,
        wall: Callable[[], float] = time.time,
        spent: Callable[[], float] = time.thread_time,
        *,
        size: int = SLICE,
    ) -> None:
        """`wall` gives wall time, `spent` the time of the processor that was used, both in seconds.

        `size` is how many changes of what is held a slice has.
        """
        self._intake = intake
        self._adoption = adoption
        self._holdings = holdings
        self._peers = peers
        self._wall = wall
        self._spent = spent
        self._size = size
        self._jobs: deque[Job] = deque()
        self._sweeps: dict[str, Job] = {}
        self._snapshots: dict[str, _Snapshot] = {}
        self._touched: dict[bytes, None] = {}
        self._kinds = deque((self._serve, self._do_sweep, self._do_job, self._revise_touched))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._jobs or self._sweeps or self._touched or len(self._intake))

    def add(self, job: Job) -> None:
        """Do this, too."""
        self._jobs.append(job)

    def touch(self, keys: list[bytes]) -> None:
        """Revise the peers' claims of these bans: one of them ended."""
        self._touched |= dict.fromkeys(keys)

    def step(self) -> None:
        """Do one slice, of one kind of work after the other."""
        now_s = self._wall()
        for _ in range(len(self._kinds)):
            kind = self._kinds[0]
            self._kinds.rotate(-1)
            if kind(now_s):
                return

    def _revise_touched(self, now_s: float) -> bool:
        if not self._touched:
            return False
        plan = Plan()
        for key in [one for one, _ in zip(self._touched, range(self._size), strict=False)]:
            del self._touched[key]
            self._adoption.revise(plan, key, now_s)
        self._holdings.carry_out(plan, now_s)
        return True

    def _do_job(self, now_s: float) -> bool:
        if not self._jobs:
            return False
        job = self._jobs.popleft()
        if (plan := next(job, None)) is not None:
            self._jobs.append(job)
            self._holdings.carry_out(plan, now_s)
        return True

    def _do_sweep(self, now_s: float) -> bool:
        if not self._sweeps:
            return False
        name = next(iter(self._sweeps))
        sweep = self._sweeps.pop(name)
        if (plan := next(sweep, None)) is not None:
            self._sweeps[name] = sweep
            self._holdings.carry_out(plan, now_s)
        return True

    def _serve(self, now_s: float) -> bool:
        """Do a slice of what one peer sent; what follows a snapshot waits until that is swept."""
        name = next((one for one in self._intake.names() if one not in self._sweeps), None)
        if name is None:
            return False
        peer = self._peers.find(name)
        if peer is None:
            self._intake.take(name, self._size)
            return True
        was_tripped = peer.breaker.is_tripped
        plan, until_s = Plan(), self._spent() + _LOOKS_S
        while items := self._intake.take(name, _PART):
            for item in items:
                if plan and isinstance(item, Change) and item.kind is Kind.PARDON:
                    self._holdings.carry_out(plan, now_s)  # it ends what came before it
                    plan, until_s = Plan(), 0.0
                self._take(plan, peer, item, now_s)
            if isinstance(items[-1], End) or plan.effort >= _MOST_EFFORT or self._spent() >= until_s:
                break
        if has_tripped := peer.breaker.is_tripped and not was_tripped:
            plan.observe(name)
        self._holdings.carry_out(plan, now_s)
        if has_tripped:
            self._holdings.forget_pardons(peer)
            _log.warning("node %s of the fleet is only observed from now on: %s", name, peer.breaker.reason)
            self.add(self.revision(name))
        return True

    def _take(self, plan: Plan, peer: Peer, item: Change | Begin | End, now_s: float) -> None:
        if isinstance(item, Change):
            if (cause := self._take_change(plan, peer, item, now_s)) is not None:
                self._peers.refuse(peer, cause)
        elif isinstance(item, Begin):
            self._snapshots[peer.name] = _Snapshot(peer.held + plan.fresh)
        else:
            snapshot = self._snapshots.pop(peer.name, None)
            if snapshot is not None and not item.is_cut and snapshot.has_ends:
                self._sweeps[peer.name] = self._sweep(peer.name, snapshot.seen)

    def _take_change(self, plan: Plan, peer: Peer, change: Change, now_s: float) -> Cause | None:
        if change.kind is Kind.PARDON:
            return self._holdings.take_pardon(peer, change, now_s)
        if change.kind is Kind.UNBAN:
            return self._unban(plan, peer, change)
        return self._take_ban(plan, peer, change, now_s)

    def _take_ban(self, plan: Plan, peer: Peer, change: Change, now_s: float) -> Cause | None:
        snapshot = self._snapshots.get(peer.name)
        if snapshot is None:
            return self._adoption.take(plan, peer, change, now_s)
        seen, known = len(snapshot.seen), plan.known
        cause = self._adoption.take(plan, peer, change, now_s, snapshot.seen)
        snapshot.known += plan.known > known and len(snapshot.seen) > seen  # a scan may have a field twice
        return cause

    def _unban(self, plan: Plan, peer: Peer, change: Change) -> Cause | None:
        try:
            network, strength = read_field(change.field)
        except ValueError:
            return Cause.MALFORMED
        if self._adoption.claim_of(peer.name, ban_key(network, strength)) or plan.orders:
            plan.withdraw(peer.name, network, strength)
        return None

    def _sweep(self, name: str, seen: set[bytes]) -> Job:
        """Withdraw what a peer held and what its snapshot did not have."""

        def has_ended(claim: Ban) -> bool:
            return claim.detector == name and claim.key not in seen

        return self._walk(lambda plan, claim: plan.withdraw(name, claim.network, claim.strength), has_ended)

    def revision(self, name: str = "") -> Job:
        """Revise all claims of a peer, or of all peers: what decides on them has changed."""

        def revise(plan: Plan, claim: Ban) -> None:
            self._adoption.revise(plan, claim.key, self._wall())

        return self._walk(revise, lambda claim: not name or claim.detector == name)

    def withdrawal(self, until_s: float) -> Job:
        """Withdraw all claims of peers that were made up to now, `until_s`."""
        return self._walk(
            lambda plan, claim: plan.withdraw(claim.detector, claim.network, claim.strength),
            lambda claim: claim.since_s <= until_s,
        )

    def _walk(self, act: Callable[[Plan, Ban], None], which: Callable[[Ban], bool]) -> Job:
        """Plan something for the claims of peers, in slices; the ledger changes in between."""
        plan, looked = Plan(), 0
        for key in self._holdings.ledger.keys_of((ClaimOrigin.PEER,)):
            looked += 1
            for claim in self._adoption.claims_of_peers(key):
                if which(claim):
                    act(plan, claim)
            if len(plan) >= self._size or looked >= _LOOKED_AT:
                yield plan
                plan, looked = Plan(), 0
        yield plan
