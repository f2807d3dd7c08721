"""Reloads when the configuration's files change, for where nobody can say `reload`: a ConfigMap that is mounted."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from monitor.files.changes import FileChanges
from monitor.files.watcher import Watcher

_log = logging.getLogger(__name__)
_SETTLE_S = 0.5
"""Kubernetes replaces all files of a mount by one rename, but an editor or a copy takes a moment for each."""


class ConfigWatch:
    """Calls `reload` on the loop once the main file or what is in conf.d has changed and then stayed so."""

    def __init__(self, path: Path, reload: Callable[[], None]) -> None:
        """Follow changes from now on; `path` is the main file. Where inotify cannot be had, the log says so."""
        self._reload = reload
        self._loop = asyncio.get_running_loop()
        self._pending: asyncio.TimerHandle | None = None
        self._watcher = Watcher("the configuration", lambda: FileChanges([path, path.parent / "conf.d"]), self._changed)
        if self._watcher.trouble:
            _log.warning("%s", self._watcher.trouble)
        self._watcher.attach(self._loop)

    def close(self) -> None:
        """Stop following."""
        self._watcher.close()
        if self._pending:
            self._pending.cancel()

    def _changed(self) -> None:
        if self._pending:
            self._pending.cancel()
        self._pending = self._loop.call_later(_SETTLE_S, self._reload)
