"""Keeps what the guard protects by itself up to date, without polling: what node, administrators and cluster need."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from monitor.files.changes import FileChanges
from monitor.model.bans import AllowEntry
from monitor.model.errors import TemporaryError
from monitor.node.addresses import RESOLVER_FILES, read_node
from monitor.node.changes import NodeChanges
from monitor.node.kubernetes import read_kubernetes, watched_for_kubernetes
from monitor.node.sessions import LOGIND_SESSIONS, UTMP, read_sessions

_log = logging.getLogger(__name__)
_SETTLE_S = 0.2
_RETRY_S = 10.0
_MAX_SHARE = 0.05
"""The part of the time that reading may take while changes never end."""


class Surroundings:
    """What must never be banned: addresses, gateways, resolvers, sessions, cluster; tells when that changed.

    `entries` is the last reading, in order of precedence. `notices` says what cannot be heeded or followed. An entry
    ends with what it stands for: an administrator who logs out is no longer protected.
    """

    def __init__(
        self,
        on_change: Callable[[list[AllowEntry]], None],
        *,
        sessions: bool = True,
        kubernetes: bool = True,
        root: Path = Path("/"),
    ) -> None:
        """Read once, TemporaryError if that fails; changes from now on are not missed.

        `sessions` and `kubernetes` say whether those are protected at all; all files are looked for below `root`.
        """
        self._on_change = on_change
        self._sessions = sessions
        self._kubernetes = kubernetes
        self._root = root
        self._resolvers = [_below(root, path) for path in RESOLVER_FILES]
        self._logins = (_below(root, UTMP), _below(root, LOGIND_SESSIONS))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: asyncio.Task[None] | None = None
        self._is_stale = False
        self._failure = ""
        self._rests_until_s = 0.0
        self._node_changes = NodeChanges()
        self._file_changes = FileChanges(self._watched())
        try:
            self.entries, self._unheeded = self._read()
        except TemporaryError:
            self.close()
            raise
        self._tell_notices([])

    @property
    def notices(self) -> list[str]:
        """What cannot be heeded or followed, for status; worst first."""
        return [text for text in (self._failure, self._file_changes.warning) if text] + self._unheeded

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Follow changes on this loop."""
        self._loop = loop
        for changes in (self._node_changes, self._file_changes):
            loop.add_reader(changes.fileno(), self._drain, changes)
        if self._is_stale:
            self._schedule()

    def reconfigure(self, *, sessions: bool, kubernetes: bool) -> None:
        """Follow changed settings: reads anew and tells, soon, if that changes the entries."""
        if (sessions, kubernetes) != (self._sessions, self._kubernetes):
            self._sessions, self._kubernetes = sessions, kubernetes
            self._schedule()

    def close(self) -> None:
        """Stop following."""
        for changes in (self._node_changes, self._file_changes):
            if self._loop:
                self._loop.remove_reader(changes.fileno())
            changes.close()
        if self._pending:
            self._pending.cancel()

    def _watched(self) -> list[Path]:
        return [*self._resolvers, *self._logins, *watched_for_kubernetes(self._root)]

    def _drain(self, changes: NodeChanges | FileChanges) -> None:
        if changes.drain():
            self._schedule()

    def _schedule(self) -> None:
        """Read anew once things have settled: an interface that comes up changes many things at once."""
        self._is_stale = True
        if self._loop and (self._pending is None or self._pending.done()):
            self._pending = self._loop.create_task(self._follow())

    async def _follow(self) -> None:
        """Read until nothing changed while reading; seldom, if reading is slow; again, if it failed."""
        while self._is_stale:
            await asyncio.sleep(max(_SETTLE_S, self._rests_until_s - time.monotonic()))
            self._is_stale = False
            started_s = time.monotonic()
            try:
                entries, unheeded = await asyncio.to_thread(self._read)
            except TemporaryError as error:
                if not self._failure:
                    _log.warning("%s; the allowlist stays as it was, next attempt in %d s", error, _RETRY_S)
                self._failure = f"{error}; the allowlist is an older one"
                self._is_stale = True
                self._rests_until_s = time.monotonic() + _RETRY_S
                continue
            ended_s = time.monotonic()
            self._rests_until_s = ended_s + (ended_s - started_s) / _MAX_SHARE
            self._take(entries, unheeded)

    def _take(self, entries: list[AllowEntry], unheeded: list[str]) -> None:
        """Keep a reading; tell if it is another than the last one."""
        before = self.notices
        self._failure = ""
        self._unheeded = unheeded
        self._tell_notices(before)
        if entries != self.entries:
            self.entries = entries
            self._on_change(entries)

    def _tell_notices(self, before: list[str]) -> None:
        for notice in self.notices:
            if notice not in before:
                _log.warning("%s", notice)

    def _read(self) -> tuple[list[AllowEntry], list[str]]:
        """Return entries and notices; runs in a thread while the daemon serves, and touches nothing of it."""
        entries = read_node(self._resolvers)
        notices: list[str] = []
        if self._sessions:
            found, said = read_sessions(*self._logins)
            entries += found
            notices += said
        if self._kubernetes:
            found, said = read_kubernetes(self._root)
            entries += found
            notices += said
        return entries, notices


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
