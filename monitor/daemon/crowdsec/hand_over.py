"""Hands what follows from LAPI's answers to the pipeline in slices, so that bans of this node never wait for it.

What should be held is compared with the ledger, not with what was handed over before: so each complete answer also
restores what was lost in between, such as bans that had no room.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from monitor.bans.decision import Verdict
from monitor.crowdsec.claims import Claim, Outcome, claim_origin
from monitor.crowdsec.pulled import Place
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import Network
from monitor.model.bans import Ban, Mode, read_ban_key
from monitor.recording.inputs import OrderedBan

SLICE = 32
"""Bans that are ordered or withdrawn in one turn of the loop: a few milliseconds."""
_COMPARED = 512
"""Claims that are compared with the ledger in one turn."""
_SLACK_S = 2.0
"""LAPI's durations come with the time that the answer was on its way."""
_OUTCOMES = {
    Verdict.ALLOWLISTED: Outcome.ALLOWLISTED,
    Verdict.FULL: Outcome.FULL,
    Verdict.REFUSED: Outcome.REFUSED,
    Verdict.STALE: Outcome.EXPIRED,
}


class HandOver:
    """What waits for its turn."""

    all_outcomes = tuple(Outcome)

    def __init__(self, pipeline: Pipeline, later: Callable[[Callable[[], None]], object]) -> None:
        """`later` calls a function in the next turn of the loop."""
        self._pipeline = pipeline
        self._later = later
        self._ended: deque[Place] = deque()
        self._wanted: deque[Claim] = deque()
        self._mode = Mode.OBSERVE
        self._longest_s = 0.0
        self._is_waiting = False
        self.outcomes: Counter[Outcome] = Counter()
        """What became of decisions."""

    @property
    def is_busy(self) -> bool:
        """Whether something waits for its turn."""
        return bool(self._ended or self._wanted)

    def take(self, ended: Iterable[Place], wanted: Iterable[Claim] = (), *, mode: Mode, longest_s: float) -> None:
        """Take which claims ended, and which should be held for at most `longest_s` from now."""
        self._ended.extend(ended)
        self._wanted.extend(wanted)
        self._mode = mode
        self._longest_s = longest_s
        self._continue()

    def drop(self) -> None:
        """Forget what waits."""
        self._ended.clear()
        self._wanted.clear()

    def _continue(self) -> None:
        if self.is_busy and not self._is_waiting:
            self._is_waiting = True
            self._later(self._turn)

    def _turn(self) -> None:
        """Do a slice; whatever it raises, the rest has its turn."""
        self._is_waiting = False
        now_s = time.time()
        try:
            if self._ended:
                self._withdraw([self._ended.popleft() for _ in range(min(SLICE, len(self._ended)))], now_s)
            else:
                self._hold(now_s, now_s - time.monotonic())
        finally:
            self._continue()

    def _withdraw(self, places: Iterable[Place], now_s: float) -> None:
        by_name: dict[str, list[bytes]] = {}
        for key, name in places:
            by_name.setdefault(name, []).append(key)
        for name, keys in by_name.items():
            self._pipeline.withdraw(claim_origin(name), name, [read_ban_key(key) for key in keys], now_s)

    def _hold(self, now_s: float, wall_less_monotonic_s: float) -> None:
        orders: list[OrderedBan] = []
        new: list[bool] = []
        shorter: list[Place] = []
        for _ in range(min(_COMPARED, len(self._wanted))):
            if len(orders) == SLICE:
                break
            claim = self._wanted.popleft()
            left_s = claim.until_s + wall_less_monotonic_s - now_s
            network, strength = read_ban_key(claim.key)
            mode = self._mode_of(network)
            held = self._held(claim)
            if held is not None and held.mode is mode and self._is_right(held.until_s - now_s, left_s):
                continue
            if left_s <= 0:
                continue
            if held is not None and (held.mode is not mode or held.until_s - now_s > left_s):
                shorter.append((claim.key, claim.name))
            bantime_s = min(left_s, self._longest_s)
            origin = claim_origin(claim.name)
            orders.append(OrderedBan(network, strength, bantime_s, claim.reason, origin, claim.name, mode))
            new.append(held is None)
        if shorter:
            self._withdraw(shorter, now_s)
        if orders:
            decisions = self._pipeline.order(orders, now_s)
            for decision, is_new in zip(decisions, new, strict=False):
                outcome = _OUTCOMES.get(decision.verdict, Outcome.TAKEN)
                if is_new or outcome is not Outcome.TAKEN:
                    self.outcomes[outcome] += 1

    def _mode_of(self, network: Network) -> Mode:
        """Return the mode; internal hosts are only observed, as for evidence of this node that is in doubt."""
        surrounding = self._pipeline.surrounding
        is_spared = surrounding.spares_internal and network.address in surrounding.internal
        return Mode.OBSERVE if is_spared else self._mode

    def _held(self, claim: Claim) -> Ban | None:
        origin = claim_origin(claim.name)
        held = self._pipeline.ledger.claims_of(claim.key)
        return next((one for one in held if one.origin is origin and one.detector == claim.name), None)

    def _is_right(self, held_s: float, left_s: float) -> bool:
        """Whether a claim that has `held_s` left needs no change; a long decision is renewed at half time."""
        if left_s > self._longest_s:
            return held_s > self._longest_s / 2
        return abs(held_s - left_s) <= _SLACK_S
