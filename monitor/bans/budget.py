"""The budget: more bans a minute than this are not an attack we understand, but perhaps a mistake of ours.

Each strength of evidence has a budget of its own. Forged sources cost nothing: with one budget for all, a flood of them
would spend what proven offenders need.
"""

import struct
from collections.abc import Iterable

from monitor.model.alerts import Strength
from monitor.model.saved_rows import SavedRow

_LEFT = struct.Struct(">d")


class Budget:
    """Allows `bans_per_minute` new bans in any minute, on average; time is passed in, in seconds."""

    def __init__(self, bans_per_minute: int) -> None:
        """Start with a full minute's worth."""
        self.bans_per_minute = bans_per_minute
        self._left = float(bans_per_minute)
        self._last_s: float | None = None
        self.exceeded_at_s: float | None = None
        """When a ban was last refused for lack of budget."""
        self.refused_total = 0

    def spend(self, now_s: float) -> bool:
        """Take one ban from the budget; False if there is none left."""
        if self._last_s is not None:
            # a clock set back earns nothing, and costs nothing
            earned = max(0.0, now_s - self._last_s) * self.bans_per_minute / 60.0
            self._left = min(float(self.bans_per_minute), self._left + earned)
        self._last_s = now_s
        if self._left < 1.0:
            self.exceeded_at_s = now_s
            self.refused_total += 1
            return False
        self._left -= 1.0
        return True

    def give_back(self) -> None:
        """Return one ban that was taken and is not in force."""
        self._left = min(float(self.bans_per_minute), self._left + 1.0)

    def is_exceeded(self, now_s: float) -> bool:
        """Whether bans were refused within the last minute."""
        return self.exceeded_at_s is not None and now_s - self.exceeded_at_s < 60.0

    def export(self, limit: int) -> list[SavedRow]:  # noqa: ARG002 - one row; see `SavedWindow`
        """Return what is left, and when that was; nothing if it was never spent."""
        return [] if self._last_s is None else [(b"", _LEFT.pack(self._left), self._last_s)]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Have as much left as then, at most all; see `SavedWindow`."""
        for _, value, last_s in rows:
            if len(value) == _LEFT.size and last_s <= now_s:
                self._left = min(float(self.bans_per_minute), max(0.0, *_LEFT.unpack(value)))
                self._last_s = last_s


class Budgets:
    """One budget for each strength of evidence, all of the same size."""

    def __init__(self, bans_per_minute: int) -> None:
        """Start with a full minute's worth of each."""
        self.bans_per_minute = bans_per_minute
        self.by_strength = {strength: Budget(bans_per_minute) for strength in Strength}

    def __getitem__(self, strength: Strength) -> Budget:
        """Return the budget of a strength."""
        return self.by_strength[strength]

    @property
    def refused_total(self) -> int:
        """How many bans were refused for lack of budget, of all strengths."""
        return sum(budget.refused_total for budget in self.by_strength.values())

    def exceeded(self, now_s: float) -> list[Strength]:
        """Return the strengths of which bans were refused within the last minute."""
        return [strength for strength, budget in self.by_strength.items() if budget.is_exceeded(now_s)]
