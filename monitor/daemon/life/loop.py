"""The event loop, with a selector that outlives errors of epoll(7), and that can rest.

asyncio lets an error of epoll_wait(2) end the loop, and with it all that the daemon knows. An error that passes is
survived; one that does not ends the process, and systemd starts another.

While nothing happens the loop rests: what wakes nobody is looked at once a second without the interpreter, and whoever
wakes the loop has the daemon look around before what happened is handled.
"""

import asyncio
import logging
import selectors
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from monitor.native import Watched, extension

_log = logging.getLogger(__name__)
_PAUSE_S = 0.05
_BEAR_S = 20.0
"""Less than WatchdogSec in the unit: a loop that hears nothing must not look alive."""
_LOOK_S = 1.0
"""How often a resting loop looks at what wakes nobody."""


class SteadySelector(selectors.EpollSelector):
    """Reports that nothing is ready while the kernel does not say what is."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`clock` is monotonic, in seconds; OSError if there is no descriptor or memory for it."""
        super().__init__()
        self._clock = clock
        self._pause = pause
        self._failing_since_s: float | None = None
        self._watched: Callable[[], Sequence[Watched] | None] = tuple
        self._woken: Callable[[], None] | None = None

    def rest(self, watched: Callable[[], Sequence[Watched] | None], woken: Callable[[], None] | None) -> None:
        """Rest until something happens: then `woken` is called once, and what happened is reported after that.

        `watched` is asked before each wait, since timers and what was already on its way run during a rest: they may
        close what was watched, or leave something to do, which None says. None as `woken` ends the rest.
        """
        self._watched, self._woken = watched, woken

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for descriptors; OSError only after 20 seconds of errors."""
        if self._woken is None:
            return self._ready(timeout)
        if not self._is_over(timeout):
            return []
        woken, self._woken = self._woken, None
        woken()
        return []  # a descriptor that is ready stays so

    def _is_over(self, timeout: float | None) -> bool:
        """Wait while nothing happens; return whether something did, or is to be done."""
        if timeout is not None and timeout <= 0:
            return bool(self._ready(timeout))
        if (watched := self._watched()) is None:
            return True
        if extension is None or timeout is None:
            return bool(self._ready(timeout))
        try:
            has_changed: bool = extension.wait_quietly(self.fileno(), timeout, _LOOK_S, watched)
        except (MemoryError, TypeError, ValueError, OverflowError) as error:
            _log.error("what wakes nobody cannot be looked at: %r", error)
            return True
        return has_changed or bool(self._ready(0))

    def _ready(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        try:
            ready = super().select(timeout)
        except OSError as error:
            now_s = self._clock()
            if self._failing_since_s is None:
                self._failing_since_s = now_s
                _log.error("waiting for events failed: %s; trying again", error)
            if now_s - self._failing_since_s >= _BEAR_S:
                raise
            self._pause(_PAUSE_S)
            return []
        self._failing_since_s = None
        return ready


class SteadyLoop(asyncio.SelectorEventLoop):
    """A loop with such a selector."""

    def __init__(self) -> None:
        """OSError if the system has nothing left for a loop."""
        selector = SteadySelector()
        super().__init__(selector)
        self._steady = selector

        self.is_looking = extension is not None
        """Whether it looks at what is watched while it rests; without the native extension others have to."""

    def rest(self, watched: Callable[[], Sequence[Watched] | None], woken: Callable[[], None]) -> None:
        """Rest from now on until something happens, and call `woken` then, before it is handled.

        `watched` returns what to look at meanwhile, and None as soon as there is something to do.
        """
        self._steady.rest(watched, woken)

    def stay_awake(self) -> None:
        """Report what happens at once, as long as nobody says otherwise."""
        self._steady.rest(tuple, None)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` ends, on a steady loop; OSError if the system has nothing left for a loop."""
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(main)
