"""Watches one descriptor of notifications on the loop: reads it, and opens it again when it fails.

A callback that fails and is left on the loop would be called again at once, for ever: the descriptor stays readable.
So a watch that fails is closed, and opened again after a pause. What changed in between was not notified, so opening
again counts as a change.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.retry import Backoff

_log = logging.getLogger(__name__)
_RENEW_S = 60.0
"""How often a watch that works only in part (inotify without watches to spare) is opened again."""


class Changes(Protocol):
    """A descriptor that becomes readable after a change."""

    warning: str
    """What it cannot notify of; empty if everything is watched."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        ...

    def drain(self) -> bool:
        """Read what waits; return whether it was a change."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class Watcher:
    """Owns one `Changes`: `trouble` says what is not watched, empty if all is."""

    def __init__(self, title: str, make: Callable[[], Changes], on_change: Callable[[], None]) -> None:
        """Open it at once, so that no later change is missed; `title` is what is watched, in sentences."""
        self._title = title
        self._make = make
        self._on_change = on_change
        self._changes: Changes | None = None
        self._failure = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._again: asyncio.TimerHandle | None = None
        self._backoff = Backoff()
        self._open()

    @property
    def trouble(self) -> str:
        """Why changes are missed, in a sentence; empty if they are not."""
        return self._failure or (self._changes.warning if self._changes else "")

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read on this loop from now on."""
        self._loop = loop
        if self._changes:
            self._listen(self._changes)
        if self.trouble:
            self._retry()

    def close(self) -> None:
        """Stop watching."""
        if self._again:
            self._again.cancel()
        self._release()
        self._loop = None

    def _open(self) -> None:
        try:
            self._changes = self._make()
            if self._loop:
                self._listen(self._changes)
        except SYSTEM_FAULTS as error:
            self._failed(error)
            return
        if self._failure:
            _log.info("watching %s again", self._title)
        self._failure = ""

    def _listen(self, changes: Changes) -> None:
        assert self._loop is not None  # noqa: S101 - both callers know
        self._loop.add_reader(changes.fileno(), self._readable)

    def _readable(self) -> None:
        if self._changes is None:
            return
        try:
            is_changed = self._changes.drain()
        except SYSTEM_FAULTS as error:
            self._failed(error)
            self._retry()
            return
        if is_changed:
            self._on_change()
        if self.trouble and self._again is None:
            self._retry()

    def _failed(self, error: Exception) -> None:
        text = f"changes of {self._title} are not notified: {explain(error)}"
        if text != self._failure:
            _log.warning("%s; trying again", text)
        self._failure = text
        self._release()

    def _retry(self) -> None:
        if self._loop:
            pause_s = self._backoff.failed() if self._failure else _RENEW_S
            self._again = self._loop.call_later(pause_s, self._renew)

    def _renew(self) -> None:
        self._again = None
        self._release()
        self._open()
        if self.trouble:
            self._retry()
        self._on_change()

    def _release(self) -> None:
        changes, self._changes = self._changes, None
        if changes:
            if self._loop:
                self._loop.remove_reader(changes.fileno())
            changes.close()
