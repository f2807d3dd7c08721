"""The event loop, with a selector that outlives errors of epoll(7), and that can rest.

asyncio lets an error of epoll_wait(2) end the loop, and with it all that the daemon knows. An error that passes is
survived; one that does not ends the process, and systemd starts another.

While nothing happens the loop rests (`rest`): what wakes nobody is looked at once a second without the interpreter, and
who rests hears of what happens before it is handled.
"""

import asyncio
import logging
import selectors
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Protocol

from monitor.native import Watched, extension

_log = logging.getLogger(__name__)
_PAUSE_S = 0.05
_BEAR_S = 20.0
"""Less than WatchdogSec in the unit: a loop that hears nothing must not look alive."""
_LOOK_S = 1.0
"""How often a resting loop looks at what wakes nobody."""


class Sleeper(Protocol):
    """Who rests, and what ends the rest."""

    watched: Sequence[Watched]
    """What wakes nobody and is looked at meanwhile."""
    unhurried: Collection[int]
    """Descriptors whose events end no rest."""

    def woken(self) -> None:
        """Take that the rest is over; called once, and what happened is reported after that."""

    def touched(self) -> None:
        """Take that unhurried events are reported now, and the rest goes on."""


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
        self.sleeper: Sleeper | None = None
        """Who rests."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for descriptors; OSError only after 20 seconds of errors."""
        sleeper, has_changed = self.sleeper, False
        if sleeper is None:
            return self._ready(timeout)
        if extension and timeout is not None and timeout > 0:
            has_changed = extension.wait_quietly(self.fileno(), timeout, _LOOK_S, sleeper.watched)
            timeout = 0
        ready = self._ready(timeout)
        if has_changed or any(key.fd not in sleeper.unhurried for key, _ in ready):
            self.sleeper = None
            sleeper.woken()
            return []  # a descriptor that is ready stays so
        if ready:
            sleeper.touched()
        return ready

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

    def rest(self, sleeper: Sleeper | None) -> None:
        """Rest from now on until something happens; None: report what happens at once."""
        self._steady.sleeper = sleeper


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` ends, on a steady loop; OSError if the system has nothing left for a loop."""
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(main)
