"""The breaker: a peer that would have us ban what is allowed, or bans without measure, is only observed from then on.

It may be compromised, or have a wrong threshold; from here that is the same. Pure.
"""

from collections import deque

from monitor.model.addresses import Network

MAX_ALLOWED_NAMED = 3
"""Networks of our allowlist that a peer names within `WITHIN_S`, at which it trips."""
WITHIN_S = 600.0
TRIPPED_S = 86400.0
"""For how long it stays tripped, unless an operator resets it."""


class Breaker:
    """The breaker of one peer; all times are wall time in seconds."""

    __slots__ = ("_named", "reason", "tripped_s", "trusted_s")

    def __init__(self, tripped_s: float = 0.0, reason: str = "", trusted_s: float = 0.0) -> None:
        """`tripped_s` is when it tripped in an earlier run, `trusted_s` when an operator reset it; 0: never."""
        self.tripped_s = tripped_s
        self.reason = reason
        self.trusted_s = trusted_s
        self._named: deque[tuple[float, Network]] = deque(maxlen=MAX_ALLOWED_NAMED)

    @property
    def is_tripped(self) -> bool:
        """Whether the peer is only observed."""
        return self.tripped_s > 0.0

    def name_allowed(self, network: Network, since_s: float, now_s: float) -> bool:
        """Take that the peer banned an allowed network at `since_s`; return whether that trips it now.

        Bans from before an operator trusted it do not count: they come again with each snapshot.
        """
        if since_s <= self.trusted_s:
            return False
        named = self._named
        for known in [one for one in named if one[1] == network]:
            named.remove(known)
        named.append((now_s, network))
        if self.is_tripped or len(named) < MAX_ALLOWED_NAMED or not 0 <= now_s - named[0][0] <= WITHIN_S:
            return False
        self.trip(f"it banned {MAX_ALLOWED_NAMED} networks that are on the allowlist here, within ten minutes", now_s)
        return True

    def trip(self, reason: str, now_s: float) -> None:
        """Observe the peer from now on."""
        if not self.is_tripped:
            self.tripped_s = max(now_s, 1.0)
            self.reason = reason

    def review(self, now_s: float) -> bool:
        """Reset it after its time; return whether that is now. A clock that was set back lengthens nothing."""
        if self.is_tripped and now_s < self.tripped_s:
            self.tripped_s = now_s
        if not self.is_tripped or now_s - self.tripped_s < TRIPPED_S:
            return False
        return self.reset()

    def shift(self, step_s: float) -> None:
        """Take that the wall clock was set by `step_s`: that neither trusts a peer again nor keeps it out longer."""
        self.tripped_s = max(1.0, self.tripped_s + step_s) if self.is_tripped else 0.0
        self.trusted_s = max(0.0, self.trusted_s + step_s) if self.trusted_s else 0.0
        self._named = deque(((at_s + step_s, one) for at_s, one in self._named), MAX_ALLOWED_NAMED)

    def trust(self, now_s: float) -> bool:
        """Reset it because an operator looked into it; return whether it had tripped."""
        was_tripped = self.reset()
        if was_tripped:
            self.trusted_s = now_s
        return was_tripped

    def reset(self) -> bool:
        """Trust the peer again; return whether it had tripped."""
        was_tripped = self.is_tripped
        self.tripped_s, self.reason = 0.0, ""
        self._named.clear()
        return was_tripped
