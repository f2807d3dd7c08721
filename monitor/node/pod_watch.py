"""Keeps up to date which pods are on this node: reads again when a result of CNI appears or goes, and now and then."""

import asyncio
import logging
import time
from pathlib import Path

from monitor.files.changes import FileChanges
from monitor.files.watcher import Watcher
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.pods import Pods
from monitor.node.pods import PodReader

_log = logging.getLogger(__name__)
_SETTLE_S = 0.2
_POLL_S = 60.0
"""How often to read although nothing was notified: no change of mounts is, and pods that ended are forgotten."""


class PodWatch:
    """Owns the reader. A reading runs in a thread, so that a full directory cannot delay the loop."""

    def __init__(self, pods: Pods, root: Path = Path("/")) -> None:
        """Read once, and keep `pods` up to date; all files are below `root`."""
        self._pods = pods
        self._reader = PodReader(root)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_stale = False
        self._failure = ""
        self._watcher = Watcher("pods", lambda: FileChanges(self._reader.watched), self._schedule)
        self._pods.take(self._reader.read(), time.monotonic())

    @property
    def notices(self) -> list[str]:
        """Why some pods are not named, or named late, a sentence each; without pods nothing is late."""
        late = self._watcher.trouble if self._pods else ""
        return [notice for notice in (self._failure, late, *self._pods.notices) if notice]

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Follow changes on this loop."""
        self._loop = loop
        self._watcher.attach(loop)
        self._schedule()

    def close(self) -> None:
        """Stop following."""
        self._watcher.close()
        if self._reading:
            self._reading.cancel()
        if self._timer:
            self._timer.cancel()
        self._loop = None

    def _schedule(self) -> None:
        """Read soon: a pod's start changes several files."""
        self._is_stale = True
        if self._loop and (self._reading is None or self._reading.done()):
            self._reading = self._loop.create_task(self._read())

    async def _read(self) -> None:
        while self._is_stale:
            await asyncio.sleep(_SETTLE_S)
            self._is_stale = False
            try:
                table = await asyncio.to_thread(self._reader.read)
            except SYSTEM_FAULTS as error:
                self._failure = f"pods cannot be read: {explain(error)}"
                _log.warning("%s; trying again", self._failure)
                break
            self._failure = ""
            self._pods.take(table, time.monotonic())
        if self._loop:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_later(_POLL_S, self._schedule)
