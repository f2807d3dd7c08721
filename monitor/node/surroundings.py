"""Keeps up to date what surrounds the node: addresses, networks, administrators, cluster, and kernel settings.

Changes are notified, except those of sysctls and of routes that routing daemons set: these are polled. So are names
that files of the cluster give instead of addresses (`names`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.files.changes import FileChanges
from monitor.files.watcher import Watcher
from monitor.model.bans import ADMIN_GROUPS, AllowEntry
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.networks import NodeNetworks
from monitor.model.retry import Backoff
from monitor.model.sysctls import Sysctls
from monitor.node.addresses import RESOLVER_FILES, read_node
from monitor.node.administrators import Administrators
from monitor.node.changes import NodeChanges
from monitor.node.directory import Directory
from monitor.node.kubernetes import read_kubernetes, watched_for_kubernetes
from monitor.node.names import Names
from monitor.node.sessions import LOGIND_SESSIONS, UTMP, read_sessions
from monitor.node.sysctls import decoded, sysctl_files
from monitor.node.sysctls import notices as sysctl_notices

_log = logging.getLogger(__name__)
_SETTLE_S = 0.2
_RETRY_FIRST_S, _RETRY_S = 1.0, 10.0
_POLL_S = 2.0
"""How often it is seen whether names and routes are due; sysctls are read in each tick."""
_ROUTES_S = 52.0
"""A tick may come ten seconds later."""
_MAX_SHARE = 0.05
"""The maximum share of time spent reading during continuous changes."""


class Reading(NamedTuple):
    """What surrounds the node: entries of the allowlist, in order of precedence, networks, and kernel settings."""

    entries: list[AllowEntry]
    networks: NodeNetworks
    sysctls: Sysctls


class _Found(NamedTuple):
    """What was read in a thread: `names` are still to be resolved."""

    reading: Reading
    names: dict[str, str]
    notices: list[str]


class Surroundings:
    """Node addresses, gateways, resolvers, sessions, cluster addresses and networks; reports when they change.

    `reading` is the last one. `notices` lists what cannot be read or watched. An entry ends when its cause ends: an
    administrator who logs out is no longer protected.
    """

    def __init__(
        self,
        on_change: Callable[[Reading], None],
        *,
        sessions: bool = True,
        admin_groups: Sequence[str] = ADMIN_GROUPS,
        kubernetes: bool = True,
        root: Path = Path("/"),
    ) -> None:
        """Read once; TemporaryError if that fails. No change after that is missed.

        `sessions` and `kubernetes` enable the protection of each, `admin_groups` name the groups of administrators; all
        files are below `root`.
        """
        self._on_change = on_change
        self._sessions = sessions
        self._admin_groups = tuple(admin_groups)
        self._directory = Directory()
        self._kubernetes = kubernetes
        self._root = root
        self._resolvers = [_below(root, path) for path in RESOLVER_FILES]
        self._logins = (_below(root, UTMP), _below(root, LOGIND_SESSIONS))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._poll_at_s = self._routes_at_s = float("-inf")
        self._sysctls = sysctl_files(root)
        self._polled: tuple[Mapping[str, bytes], Sysctls] = {}, decoded({})
        """What these files said last."""
        self._is_stale = False
        self.readings_total = 0
        """How often it was read again since something around the node changed."""
        self._failure = ""
        self._rests_until_s = 0.0
        self._backoff = Backoff(_RETRY_FIRST_S, _RETRY_S)
        self.names = Names(self._schedule)
        """Names of servers, whose addresses are among the entries."""
        self._watchers = (
            Watcher("node addresses and routes", NodeChanges, self._schedule),
            Watcher("resolvers and sessions", lambda: FileChanges(self._watched()), self._schedule),
        )
        try:
            self.reading, names, self._unused = self._read(self._current_sysctls())
        except BaseException:
            self.close()
            raise
        self.names.want(names)
        self._log_notices([])

    @property
    def notices(self) -> list[str]:
        """What cannot be read or watched, for `status`; worst first."""
        return [*(one.trouble for one in self._watchers if one.trouble), *self._unused]

    @property
    def problems(self) -> list[str]:
        """Why the last reading may be out of date."""
        return [self._failure] if self._failure else []

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch for changes on this loop."""
        self._loop = loop
        for watcher in self._watchers:
            watcher.attach(loop)
        self.names.attach(loop)
        self._poll_at_s = time.monotonic() + _POLL_S
        self._routes_at_s = time.monotonic() + _ROUTES_S
        if self._is_stale:
            self._schedule()

    def reconfigure(self, *, sessions: bool, kubernetes: bool, admin_groups: Sequence[str] = ADMIN_GROUPS) -> None:
        """Apply changed settings: reads again soon, and reports if anything changes."""
        wanted = sessions, kubernetes, tuple(admin_groups)
        if wanted != (self._sessions, self._kubernetes, self._admin_groups):
            self._sessions, self._kubernetes, self._admin_groups = wanted
            self._schedule()

    def close(self) -> None:
        """Stop watching."""
        self._sysctls.close()
        for watcher in self._watchers:
            watcher.close()
        for task in (self._pending, self._polling):
            if task:
                task.cancel()

    def _watched(self) -> list[Path]:
        return [*self._resolvers, *self._logins, *watched_for_kubernetes(self._root)]

    def tick(self) -> None:
        """Schedule a reading when a sysctl has changed, and now and then when a route has; call it each second."""
        if self._loop is None:
            return
        is_changed = self._current_sysctls() != self.reading.sysctls
        if is_changed:
            self._schedule()
        if (now_s := time.monotonic()) < self._poll_at_s:
            return
        self._poll_at_s = now_s + _POLL_S
        self.names.tick()
        if not is_changed and now_s >= self._routes_at_s and (self._polling is None or self._polling.done()):
            self._routes_at_s = now_s + _ROUTES_S
            self._polling = self._loop.create_task(self._compare_routes())

    def _current_sysctls(self) -> Sysctls:
        """Return the values now. Files that are open need no descriptor, and no mount hides what the kernel does."""
        texts = self._sysctls.read()
        if texts is not self._polled[0]:
            self._polled = texts, decoded(texts)
        return self._polled[1]

    async def _compare_routes(self) -> None:
        """Schedule a reading if the networks around the node are others than those of the last one."""
        known = self.reading.networks
        try:
            is_changed = (await asyncio.to_thread(read_node, self._resolvers)).networks != known
        except SYSTEM_FAULTS:
            is_changed = True  # the reading reports it
        if is_changed:
            self._schedule()

    def _schedule(self) -> None:
        """Schedule a reading after a short delay: an interface that comes up causes many changes at once."""
        self._is_stale = True
        if self._loop and (self._pending is None or self._pending.done()):
            self._pending = self._loop.create_task(self._follow())

    async def _follow(self) -> None:
        """Read until there was no change during a reading; less often if reading is slow; retry if it failed."""
        while self._is_stale:
            await asyncio.sleep(max(_SETTLE_S, self._rests_until_s - time.monotonic()))
            self._is_stale = False
            started_s = time.monotonic()
            try:
                found = await asyncio.to_thread(self._read, self._current_sysctls())
                self.readings_total += 1
                self._take(found)
            except SYSTEM_FAULTS as error:
                self._failed(error)
                continue
            self._backoff.reset()
            ended_s = time.monotonic()
            self._rests_until_s = ended_s + (ended_s - started_s) / _MAX_SHARE

    def _failed(self, error: Exception) -> None:
        """Report that the node could not be read or followed, and try again later."""
        pause_s = self._backoff.failed()
        if not self._failure:
            _log.warning("%s; the allowlist may be outdated, trying again", explain(error))
        self._failure = f"{explain(error)}; the allowlist may be outdated"
        self._is_stale = True
        self._rests_until_s = time.monotonic() + pause_s

    def _take(self, found: _Found) -> None:
        """Report a reading if it differs from the last one, and store it once it has been followed."""
        before = self.notices
        self._unused = found.notices
        self._log_notices(before)
        self.names.want(found.names)
        reading = found.reading._replace(entries=[*found.reading.entries, *self.names.entries])
        if reading != self.reading:
            self._on_change(reading)
            self.reading = reading
        self._failure = ""

    def _log_notices(self, before: list[str]) -> None:
        for notice in self.notices:
            if notice not in before:
                _log.warning("%s", notice)

    def _read(self, sysctls: Sysctls) -> _Found:
        """Read everything else; runs in a thread and must not touch the daemon's state."""
        entries, networks, notices = read_node(self._resolvers)
        names: dict[str, str] = {}
        notices += sysctl_notices(sysctls)
        if self._sessions:
            administrators = Administrators(self._admin_groups, self._directory)
            found, found_notices = read_sessions(administrators, *self._logins)
            entries += found
            notices += found_notices
            notices += [
                f"bans.protect.admin_groups: there is no group {name}" for name in administrators.unknown_groups
            ]
            notices += [self._directory.trouble] if self._directory.trouble else []
        if self._kubernetes:
            cluster = read_kubernetes(self._root)
            entries += cluster.entries
            notices += cluster.notices
            names = cluster.names
        return _Found(Reading(entries, networks, sysctls), names, notices)


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
