"""Keeps a filter that takes too long from taking more than its share of time: a circuit breaker. Pure.

Attackers choose the text of lines, and an expression of somebody's filter may go back and forth over it. One such line
is bounded by a deadline; a flood of them is bounded here. A filter may spend a small share of all time on slow lines.
If it spends more, the expression does not see lines of more than half the length of the slow one for a while: ordinary
lines are short, so that it still finds what others do. If lines below that limit are slow too, the limit is
lowered further. When the time is over, one slow line suffices to begin the next, longer pause.
"""

from collections.abc import Sequence

import msgspec

SLOW_S = 0.01
"""CPU time in seconds from which on a line counts as slow. Ordinary ones take some microseconds."""
_BUDGET_S = 0.2
_SHARE = 0.02
"""How much of all time a filter may spend on slow lines in the long run."""
_CUT = 2
_PAUSE_S = 10.0
_MAX_PAUSE_S = 600.0
_PROBATION_S = 60.0
"""How long after a pause a single slow line begins the next one, at least."""


class Limit(msgspec.Struct):
    """What one expression does not see for a while."""

    longest: int
    """Lines of more characters are skipped."""
    pause_s: float
    """How long the pause is, in seconds."""
    until_s: float
    """When it ends, on the clock of the calls."""


class Breaker:
    """The breaker of one filter; all times are of one clock that does not go back, in seconds."""

    def __init__(self) -> None:
        """Start with a full budget and no limit."""
        self.limits: dict[int | None, Limit] = {}
        """By number of the failregex; None: the whole filter. Those whose pause is over are on probation."""
        self._left_s = _BUDGET_S
        self._counted_s = float("-inf")

    def charge(self, number: int | None, length: int, cost_s: float, now_s: float) -> None:
        """Count a slow line of this many characters; `number` is the failregex that was slow, None if not known."""
        self._left_s = min(_BUDGET_S, self._left_s + _SHARE * (now_s - self._counted_s)) - cost_s
        self._counted_s = now_s
        limit = self.limits.get(number)
        is_again = limit is not None and now_s >= limit.until_s and length > limit.longest
        if self._left_s > 0.0 and not is_again:
            return
        if self._left_s <= 0.0:
            self._left_s = _BUDGET_S / 2
        longest, pause_s = length // _CUT, _PAUSE_S
        if limit is not None:
            longest = min(longest, limit.longest)
            pause_s = min(_MAX_PAUSE_S, 2 * limit.pause_s) if now_s >= limit.until_s else limit.pause_s
        self.limits[number] = Limit(longest, pause_s, now_s + pause_s)

    def allowed(self, numbers: Sequence[int], length: int, now_s: float) -> Sequence[int]:
        """Return those of the failregex with these numbers that may see a line of this many characters."""
        skipped = set()
        for number, limit in list(self.limits.items()):
            if now_s < limit.until_s:
                if length > limit.longest:
                    skipped.add(number)
            elif now_s >= limit.until_s + max(_PROBATION_S, limit.pause_s):
                del self.limits[number]
        if None in skipped:
            return ()
        return [number for number in numbers if number not in skipped] if skipped else numbers

    def paused(self, now_s: float) -> dict[int | None, int]:
        """Return the longest line that each expression under a limit sees now, in characters, by its number."""
        return {number: limit.longest for number, limit in self.limits.items() if now_s < limit.until_s}
