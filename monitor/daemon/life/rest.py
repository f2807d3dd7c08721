"""How the daemon waits for its next look: awake for a second, or at rest until something happens.

What happens at rest is of two kinds. What sources and threads have is taken at once, and if that calls for a tick, the
daemon looks a second later. Everything else may ask how the daemon and its node are: so it looks around first, unless
it did so just now.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from monitor.daemon.life.loop import SteadyLoop
from monitor.daemon.life.pace import Pace
from monitor.native import Watched

TICK_S = 1.0


def can_rest_long(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether what is watched is looked at during a rest, so that it may last longer than a second."""
    return isinstance(loop, SteadyLoop) and loop.is_looking


class Woken(NamedTuple):
    """How the last rest ended, if not by time."""

    is_asked: bool = False
    """Something that waits to be handled is to find a daemon that has just looked around."""
    is_changed: bool = False
    """Something that was watched is another, or there is something to do."""


class Rest:
    """Waits on one loop; also tells the loop what may pass without a look (`loop.Sleeper`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pace: Pace) -> None:
        """Only a `SteadyLoop` can rest; on others every wait is one awake. `pace` knows when the last look was."""
        self._loop = loop
        self._pace = pace
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._woken = Woken()
        self._is_touched = self._is_due = self._may_last = False
        self._watched: Callable[[], Sequence[Watched] | None] = tuple
        self.unhurried: Callable[[], Collection[int]] = tuple

    def take_woken(self) -> Woken:
        """Return how the last rest ended, once."""
        woken, self._woken = self._woken, Woken()
        return woken

    async def stay_awake(self) -> None:
        """Wait for a second; what happens is handled at once."""
        if isinstance(self._loop, SteadyLoop):
            self._loop.rest(None)
        await self._wait(TICK_S)

    async def rest(
        self,
        seconds: float,
        watched: Callable[[], Sequence[Watched] | None],
        unhurried: Callable[[], Collection[int]],
    ) -> None:
        """Wait so long, or until something happens, or `watched` returns None: then there is something to do.

        `unhurried` returns the descriptors that are read without a look. Both are asked again and again.
        """
        self._watched, self.unhurried = watched, unhurried
        self._is_touched = self._is_due = False
        self._may_last = seconds > TICK_S and can_rest_long(self._loop)
        if isinstance(self._loop, SteadyLoop):
            self._loop.rest(self)
        await self._wait(seconds if self._may_last else min(seconds, TICK_S))
        self._may_last = False

    def renew(self, seconds: float) -> None:
        """Have a rest last so long from now on: a look was just done. One in which something is due soon stays so."""
        if self._may_last and not self._is_due:
            self._wake_in(seconds)

    async def _wait(self, seconds: float) -> None:
        self._wake_in(seconds)
        await self._wake.wait()
        self._cancel()
        self._wake.clear()

    def _wake_in(self, seconds: float) -> None:
        self._cancel()
        self._timer = self._loop.call_later(seconds, self._wake.set)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()

    def wake(self) -> None:
        """End the wait."""
        self._wake.set()

    def watched(self) -> Sequence[Watched] | None:
        """Return what to look at; nothing where a look follows within a second anyway."""
        if self._is_due:
            return ()
        watched = self._watched()
        if watched is None and self._is_touched:
            self._look_soon()
            return ()
        self._is_touched = False
        return watched

    def is_current(self) -> bool:
        """Return whether who asks now need not wait for another look."""
        return self._pace.is_current(time.monotonic())

    def woken(self, *, is_asked: bool) -> None:
        """Do what there is to do; who asks is handled after a look around."""
        self._woken = Woken(is_asked, not is_asked)
        self._wake.set()

    def touched(self) -> None:
        """Look in a second if there is something to do then: more of the same may follow at once."""
        self._is_touched = True

    def _look_soon(self) -> None:
        self._is_due = True
        if self._timer and self._timer.when() > self._loop.time() + TICK_S:
            self._wake_in(TICK_S)
