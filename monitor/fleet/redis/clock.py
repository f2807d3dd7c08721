"""The engine's clock, between two looks at it.

It goes on by the monotonic clock: when somebody sets the clock of this machine, nothing of ours may seem to have ended.
"""

import time

_STEP_S = 5.0


class EngineClock:
    """Tells the time of the server."""

    def __init__(self) -> None:
        """Start with our own time."""
        self._base_s = time.time() - time.monotonic()
        self._is_set = False

    def set(self, now_s: float) -> bool:
        """Take the server's time; return whether it was set meanwhile, or is another server's."""
        base_s = now_s - time.monotonic()
        is_step = self._is_set and abs(base_s - self._base_s) > _STEP_S
        self._base_s, self._is_set = base_s, True
        return is_step

    def now_s(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._base_s + time.monotonic()
