"""The event loop, with a selector that outlives errors of epoll(7).

asyncio lets an error of epoll_wait(2) end the loop, and with it all that the daemon knows. An error that passes is
survived; one that does not ends the process, and systemd starts another.
"""

import asyncio
import logging
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)
_PAUSE_S = 0.05
_BEAR_S = 20.0
"""Less than WatchdogSec in the unit: a loop that hears nothing must not look alive."""


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

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for descriptors; OSError only after 20 seconds of errors."""
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


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run until `main` ends, on a loop with such a selector; OSError if the system has nothing left for a loop."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SteadySelector())) as runner:
        runner.run(main)
