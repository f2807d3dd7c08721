"""Signs that bans hurt whom they should not: a listener that counts them, and asks nobody but itself.

Nothing here is proof. A ban of a source that worked with this node for long before, an alert about an allowlisted
source, a ban that somebody takes back within minutes: each of them is rare while thresholds fit, so that one is worth
a look, and many are a wrong threshold, an address that many share, or a forger.
"""

import enum
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.daemon.pipeline.listeners import Listener
from monitor.enforcers.protocol import Stopped
from monitor.metrics.metric import Sample
from monitor.model.addresses import Address
from monitor.model.alerts import Alert, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode
from monitor.model.clock import PassedSeconds

RECENT_S = 900.0
EARLY_S = 600.0
"""A ban that is lifted by hand within this time was probably wrong."""
_MAX_INTERNAL = 1024
_POLLED_AT_ONCE, _MOST_SECONDS = 16, 12
"""Bans for each second since the last poll, and at most for so many seconds."""
_MINUTE_S = 60.0


class Sign(enum.StrEnum):
    """What may be harm: a closed set, used as a metric label."""

    CLIENT_BANNED = "client_banned"
    """A source that completed handshakes for long before is banned on proof: its own failures, or those of others
    behind its address."""
    CLIENT_SHUNNED = "client_shunned"
    """The same on evidence that anyone can forge."""
    ALLOWLISTED = "allowlisted"
    """An allowlisted source crossed a threshold: without the allowlist it would be banned."""
    LIFTED_EARLY = "lifted_early"
    """Somebody lifted a detector's ban, or allowed its source, within ten minutes."""
    WITHDRAWN = "withdrawn"
    """The guard took a ban back, because what it rested on proved to be no evidence."""


_TEXTS = {
    Sign.CLIENT_BANNED: "bans of clients",
    Sign.CLIENT_SHUNNED: "shuns of clients",
    Sign.ALLOWLISTED: "alerts about allowlisted sources",
    Sign.LIFTED_EARLY: "bans lifted by hand within 10 min",
    Sign.WITHDRAWN: "bans taken back for lack of evidence",
}
_BY_HAND = (Ending.LIFTED, Ending.ALLOWLISTED)


class HarmWatch(Listener):
    """Counts signs since the start and of the last quarter of an hour, and watches bans in internal networks."""

    name = "harm"

    def __init__(self, was_client: Callable[[Alert], bool], is_internal: Callable[[Address], bool]) -> None:
        """`was_client` judges the source of an alert, `is_internal` whether an address is in an internal network."""
        self._was_client = was_client
        self._is_internal = is_internal
        self.totals: Counter[Sign] = Counter(dict.fromkeys(Sign, 0))
        self._minutes: deque[tuple[float, Counter[Sign]]] = deque()
        self._now_s = 0.0
        self._internal: dict[bytes, Ban] = {}
        self._stopped: dict[bytes, int] = {}
        self._passed = PassedSeconds(_MOST_SECONDS)
        self.internal_packets_total = 0
        """Packets of internal sources that the sets dropped, as far as they were polled."""

    def start(self, bans: Sequence[Ban]) -> None:
        """Take the bans of an earlier run; those outside of internal networks may be left out."""
        for ban in bans:
            self._watch(ban)

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Count bans of clients, and alerts about allowlisted sources."""
        self._now_s = self._now_s or done_s  # else that of the last tick: a replay has another clock
        for one in decisions:
            if one.verdict is Verdict.BAN and one.claim:
                self._watch(one.claim)
                if one.alert and one.claim.strength is not Strength.DESTINATION and self._is_of_client(one.alert):
                    is_proven = one.claim.strength is Strength.PROVEN
                    self._count(Sign.CLIENT_BANNED if is_proven else Sign.CLIENT_SHUNNED)
            elif one.verdict is Verdict.ALLOWLISTED and one.alert:
                self._count(Sign.ALLOWLISTED)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Count bans that were taken back."""
        for one in ended:
            if one.remaining is None:
                self._internal.pop(one.ban.key, None)
                self._stopped.pop(one.ban.key, None)
            if one.cause in _BY_HAND and any(map(self._is_early, one.claims)):
                self._count(Sign.LIFTED_EARLY)
            elif one.cause is Ending.WITHDRAWN and one.ban.mode is Mode.ENFORCE:
                self._count(Sign.WITHDRAWN)

    def tick(self, now_s: float) -> None:
        """Forget what is no longer recent."""
        self._now_s = now_s
        while self._minutes and not 0 <= now_s - self._minutes[0][0] < RECENT_S + _MINUTE_S:
            self._minutes.popleft()

    def poll(self, stopped: Callable[[Ban], Stopped | None]) -> None:
        """Read what some of the bans in internal networks dropped; all have had their turn after about a minute."""
        count = _POLLED_AT_ONCE * self._passed.take(time.monotonic())
        for key in list(self._internal)[:count]:
            ban = self._internal.pop(key)
            self._internal[key] = ban  # the last to come again
            if (found := stopped(ban)) is not None:
                before = self._stopped.get(key, 0)
                self.internal_packets_total += found.packets - (before if before <= found.packets else 0)
                self._stopped[key] = found.packets

    def recent(self) -> dict[Sign, int]:
        """Return how many signs there were within the last quarter of an hour."""
        counts = Counter[Sign]()
        for _, of_minute in self._minutes:
            counts += of_minute
        return {sign: counts[sign] for sign in Sign}

    def describe(self) -> dict[str, object]:
        """Return what `status` says of it."""
        recent = self.recent()
        found = [f"{count} {_TEXTS[sign]}" for sign, count in recent.items() if count]
        if self._internal:
            more = " or more" if len(self._internal) >= _MAX_INTERNAL else ""
            bans = "ban" if len(self._internal) == 1 and not more else "bans"
            found.append(f"{len(self._internal)}{more} {bans} in force in internal networks")
        return {"signs": recent, "internal_bans": len(self._internal), "text": ", ".join(found)}

    def samples(self) -> Iterator[Sample]:
        """Yield the totals."""
        for sign, count in self.totals.items():
            yield "nodewarden_harm_signs_total", (sign,), count
        yield "nodewarden_internal_bans", (), len(self._internal)
        yield "nodewarden_internal_dropped_packets_total", (), self.internal_packets_total

    def _is_of_client(self, alert: Alert) -> bool:
        return alert.longest_s != float("inf") or self._was_client(alert)

    def _is_early(self, claim: Ban) -> bool:
        is_ours = claim.origin is ClaimOrigin.DETECTOR and claim.mode is Mode.ENFORCE
        return is_ours and abs(self._now_s - claim.since_s) < EARLY_S  # a second may be missing

    def _watch(self, ban: Ban) -> None:
        """Watch a ban in an internal network; beyond a thousand, the first are enough to see that they are many."""
        is_of_source = ban.mode is Mode.ENFORCE and ban.strength is not Strength.DESTINATION
        if is_of_source and len(self._internal) < _MAX_INTERNAL and self._is_internal(ban.network.address):
            self._internal[ban.key] = ban

    def _count(self, sign: Sign) -> None:
        self.totals[sign] += 1
        if not self._minutes or not 0 <= self._now_s - self._minutes[-1][0] < _MINUTE_S:
            self._minutes.append((self._now_s, Counter()))
        self._minutes[-1][1][sign] += 1
