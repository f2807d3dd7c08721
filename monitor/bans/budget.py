"""The budget: more bans a minute than this are not an attack we understand, but perhaps a mistake of ours."""


class Budget:
    """Allows `bans_per_minute` new bans in any minute, on average; time is passed in, in seconds."""

    def __init__(self, bans_per_minute: int) -> None:
        """Start with a full minute's worth."""
        self.bans_per_minute = bans_per_minute
        self._left = float(bans_per_minute)
        self._last_s: float | None = None
        self.exceeded_at_s: float | None = None
        """When a ban was last refused for want of budget."""
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
