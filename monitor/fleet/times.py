"""The engine's clock, which is the fleet's: records have its times, everything here has the node's."""

import time
from collections.abc import Callable

_STEP_S = 2.0
"""A clock that was set by less than this changes nothing here."""


class ClockSteps:
    """Notices that the wall clock was set."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """`wall` and `monotonic` are in seconds."""
        self._wall, self._monotonic = wall, monotonic
        self._ahead_s = wall() - monotonic()

    def read(self) -> float:
        """Return by how many seconds it was set since the last call; 0 if it was not."""
        ahead_s = self._wall() - self._monotonic()
        step_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        return step_s if abs(step_s) > _STEP_S else 0.0


class EngineClock:
    """Converts between the two. Follows the monotonic clock, so that setting the node's clock changes nothing."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the engine's clock to be ours until it is known. `wall` and `monotonic` are in seconds."""
        self._wall = wall
        self._monotonic = monotonic
        self._ahead_s = wall() - monotonic()
        self.is_known = False

    def set(self, offset_s: float) -> None:
        """Take that the engine's clock is `offset_s` ahead of the node's."""
        self._ahead_s = self._wall() + offset_s - self._monotonic()
        self.is_known = True

    @property
    def offset_s(self) -> float:
        """How far the engine's clock is ahead of the node's, in seconds."""
        return self._ahead_s + self._monotonic() - self._wall()

    def to_engine(self, local_s: float) -> float:
        """Return a time of the node's clock by the engine's; not below zero, which records cannot have."""
        return max(0.0, local_s + self.offset_s)

    def to_local(self, engine_s: float) -> float:
        """Return a time of the engine's clock by the node's."""
        return engine_s - self.offset_s
