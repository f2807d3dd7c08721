"""Reloads when the configuration's files change, for where nobody can say `reload`: a ConfigMap that is mounted."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from monitor.files.changes import FileChanges

_log = logging.getLogger(__name__)
_SETTLE_S = 0.5
"""Kubernetes replaces all files of a mount by one rename, but an editor or a copy takes a moment for each."""


class ConfigWatch:
    """Calls `reload` on the loop once the main file or what is in conf.d has changed and then stayed so."""

    def __init__(self, path: Path, reload: Callable[[], None]) -> None:
        """Follow changes from now on; `path` is the main file. Where inotify cannot be had, the log says so."""
        self._changes = FileChanges([path, path.parent / "conf.d"])
        self._reload = reload
        self._loop = asyncio.get_running_loop()
        self._pending: asyncio.TimerHandle | None = None
        if self._changes.warning:
            _log.warning("%s", self._changes.warning)
        self._loop.add_reader(self._changes.fileno(), self._drain)

    def close(self) -> None:
        """Stop following."""
        self._loop.remove_reader(self._changes.fileno())
        self._changes.close()
        if self._pending:
            self._pending.cancel()

    def _drain(self) -> None:
        if self._changes.drain():
            if self._pending:
                self._pending.cancel()
            self._pending = self._loop.call_later(_SETTLE_S, self._reload)
