"""The supervisor: a fault of our own costs what it is in, and nothing else. The one broad `except` of the loop.

Everything that the loop does in a tick is a part with a name. A part that fails is logged with its trace, counted and
a problem of `status`; all other parts run, and the failed one is tried again a second later. Batches of events and
callbacks of the loop are handled the same way.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

_log = logging.getLogger(__name__)
_LOG_EVERY_S = 60.0
"""A part that fails each second writes one trace a minute."""
_SHOWN_S = 60.0
"""How long a failure of a part is a problem."""


class _Failure(msgspec.Struct):
    """The failures of one part."""

    text: str
    last_s: float
    logged_s: float
    count: int = 1


class Supervisor:
    """Runs parts of the daemon's work and keeps their failures apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self.errors_total = 0
        """Failures of every kind."""
        self._batches_lost = 0
        self._batch_logged_s = float("-inf")

    def run(self, parts: Mapping[str, Callable[[], object]]) -> None:
        """Run all parts in order; one that fails does not keep the others from running."""
        for name, part in parts.items():
            try:
                part()
            except Exception as error:  # noqa: BLE001 - the one supervisor: everything else is caught by name
                self.failed(name, error)

    def batch_lost(self, events: int, error: Exception) -> None:
        """Note that a batch of events was lost to a fault."""
        self.errors_total += 1
        self._batches_lost += 1
        now_s = self._clock()
        if now_s - self._batch_logged_s >= _LOG_EVERY_S:  # whoever can cause one, can cause thousands
            self._batch_logged_s = now_s
            text = "a batch of %d events was lost to an internal fault, %d since the start; please report this"
            _log.error(text, events, self._batches_lost, exc_info=error)

    def callback_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Note a fault in a callback of the loop: an exception handler of asyncio."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.failed("a callback of the loop", error)
        else:
            _log.warning("the loop reports: %s", context.get("message"))

    @property
    def has_news(self) -> bool:
        """Whether a part failed lately, so that it is to be tried again."""
        now_s = self._clock()
        return any(now_s - failure.last_s < _SHOWN_S for failure in self._failures.values())

    def problems(self) -> list[str]:
        """Say what failed lately, and how many batches were lost."""
        now_s = self._clock()
        problems = [
            f"{name} failed {failure.count} times, last with {failure.text}; it is tried again, other work continues"
            for name, failure in self._failures.items()
            if now_s - failure.last_s < _SHOWN_S
        ]
        if self._batches_lost:
            problems.append(f"{self._batches_lost} batches were lost to internal faults; see the log")
        return problems

    def failed(self, name: str, error: Exception) -> None:
        """Note a failure of a part."""
        self.errors_total += 1
        now_s = self._clock()
        failure = self._failures.get(name)
        if failure is None or now_s - failure.last_s >= _SHOWN_S:
            failure = self._failures[name] = _Failure("", now_s, float("-inf"), 0)
        failure.text, failure.last_s = repr(error), now_s
        failure.count += 1
        if now_s - failure.logged_s >= _LOG_EVERY_S:
            failure.logged_s = now_s
            _log.error("%s failed; it is tried again, other work continues", name, exc_info=error)
