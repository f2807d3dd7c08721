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
"""How often a resting loop looks at what wakes nobody, however many events come."""
_CHANGED = 1
"""What `wait_quietly` returns after a look that found something."""


class Sleeper(Protocol):
    """Who rests, and what ends the rest."""

    def watched(self) -> Sequence[Watched] | None:
        """Return what wakes nobody and is to be looked at; None if there is something to do, which ends the rest.

        Asked before each wait: timers run during a rest, and what was on its way when it began. They may close what was
        watched, or leave something to do.
        """

    def unhurried(self) -> Collection[int]:
        """Return the descriptors whose events end no rest."""

    def is_current(self) -> bool:
        """Return whether all other events may be reported without a look, too."""

    def woken(self, *, is_asked: bool) -> None:
        """Take that the rest is over; called once, and what happened is reported after that.

        `is_asked`: by an event, for which a look comes first; otherwise because something watched changed, or since
        there is something to do.
        """

    def touched(self) -> None:
        """Take that events are reported now, and the rest continues."""


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
        self._look_at_s = self._offset_s = 0.0
        """When the next look of a rest is due, and by how much the wall clock was ahead when it began."""
        self.own: Collection[int] = ()
        """The loop's own descriptors, by which other threads hand over what they found: nobody asks for anything."""

    def rest(self, sleeper: Sleeper | None) -> None:
        """Rest from now on until something happens; None: report what happens at once."""
        self.sleeper = sleeper
        now_s = self._clock()
        self._look_at_s, self._offset_s = now_s + _LOOK_S, time.time() - now_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for descriptors; OSError only after 20 seconds of errors."""
        sleeper = self.sleeper
        if sleeper is None:
            return self._ready(timeout)
        is_over = (timeout is None or timeout > 0) and self._wait(sleeper, timeout)
        ready = self._ready(0 if is_over or (extension and timeout is not None) else timeout)
        is_asked = self._is_hurried(ready, sleeper) and not sleeper.is_current()
        if is_over or is_asked:
            self.sleeper = None
            sleeper.woken(is_asked=is_asked)
            return []  # a descriptor that is ready stays so
        if ready:
            sleeper.touched()
        return ready

    def _is_hurried(self, ready: list[tuple[selectors.SelectorKey, int]], sleeper: Sleeper) -> bool:
        """Return whether an event calls for a look."""
        unhurried = sleeper.unhurried() if ready else ()
        return any(key.fd not in self.own and key.fd not in unhurried for key, _ in ready)

    def _wait(self, sleeper: Sleeper, timeout: float | None) -> bool:
        """Wait for events while nothing that wakes nobody happens; return whether that did, or is to be done.

        Without the native extension, waiting is up to the caller.
        """
        if (watched := sleeper.watched()) is None:
            return True
        if extension is None or timeout is None:
            return False
        try:
            first_s = self._look_at_s - self._clock()
            found = extension.wait_quietly(self.fileno(), timeout, _LOOK_S, first_s, self._offset_s, watched)
        except (MemoryError, TypeError, ValueError, OverflowError) as error:
            _log.error("what wakes nobody cannot be looked at: %r", error)
            return not self._ready(min(timeout, _LOOK_S))  # not at once: whoever rests then looks each second
        if found:
            self._look_at_s = self._clock() + _LOOK_S
        return bool(found == _CHANGED)

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
        selector.own = frozenset(key.fd for key in selector.get_map().values())
        self.is_looking = extension is not None
        """Whether it looks at what is watched while it rests; without the native extension others have to."""

    def rest(self, sleeper: Sleeper | None) -> None:
        """Rest from now on until something happens; None: report what happens at once."""
        self._steady.rest(sleeper)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` ends, on a steady loop; OSError if the system has nothing left for a loop."""
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(main)
