"""How the daemon waits for its next look: awake for a second, or at rest until something happens.

What happens at rest is of two kinds. Sources are read at once, and if that calls for a tick, the daemon looks a second
later. Everything else may ask how the daemon and its node are: so it looks around first.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

from monitor.daemon.life.loop import SteadyLoop
from monitor.native import Watched

TICK_S = 1.0


class Rest:
    """Waits on one loop; also tells the loop what may pass without a look (`loop.Sleeper`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Only a `SteadyLoop` can rest; on others every wait is one awake."""
        self._loop = loop
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_woken = self._is_touched = self._is_due = False
        self._watched: Callable[[], Sequence[Watched] | None] = tuple
        self.unhurried: Callable[[], Collection[int]] = tuple

    @property
    def is_long(self) -> bool:
        """Whether what is watched is looked at during a rest, so that it may last longer than a second."""
        return isinstance(self._loop, SteadyLoop) and self._loop.is_looking

    def take_woken(self) -> bool:
        """Return whether something that waits to be handled ended the last rest."""
        is_woken, self._is_woken = self._is_woken, False
        return is_woken

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
        if isinstance(self._loop, SteadyLoop):
            self._loop.rest(self)
        await self._wait(seconds if self.is_long else TICK_S)

    async def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._wake.set)
        await self._wake.wait()
        self._timer.cancel()
        self._wake.clear()

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

    def woken(self) -> None:
        """Look around before what ended the rest is handled."""
        self._is_woken = True
        self._wake.set()

    def touched(self) -> None:
        """Look in a second if there is something to do then: more of the same may follow at once."""
        self._is_touched = True

    def _look_soon(self) -> None:
        self._is_due = True
        if self._timer and self._timer.when() > self._loop.time() + TICK_S:
            self._timer.cancel()
            self._timer = self._loop.call_later(TICK_S, self._wake.set)
