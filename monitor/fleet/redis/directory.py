"""Finds out who is in the fleet, and reads its allowlist.

A name in the shared list, which every node can write, counts only if there is a hello under it, which only that node
can write.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from monitor.fleet.engine import Inbox, Kind
from monitor.fleet.redis.bell import Bell, ignore
from monitor.fleet.redis.explain import explain_reply
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.redis.lines import read_pairs
from monitor.fleet.redis.link import Link
from monitor.fleet.redis.peers import MAX_PEERS, Peer, Peers
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.resp import OversizeError
from monitor.fleet.redis.transaction import ELSEWHERE, Refused, all_of, scan

_PAGE = 256
_PAGE_S = 0.02
_ROUND_S = 20.0
_MOST_NAMES = 4 * MAX_PEERS
_RECENT_S = 120
_ALLOW_S = 30.0
_MOST_ALLOWED = 4096
_OVERSIZE_S = 300.0


class Directory:
    """Names and allowlist; each session gives it a connection."""

    def __init__(self, keys: FleetKeys, peers: Peers, bell: Bell, inbox: Inbox, problems: Problems) -> None:
        """`bell` has names that may be new."""
        self._keys, self._peers, self._bell = keys, peers, bell
        self._inbox, self._problems = inbox, problems
        self._wanted = asyncio.Event()
        self._offset = 0
        self._due: dict[str, float] = {}
        self._allowed: dict[bytes, bytes] | None = None
        self._oversize_until_s: dict[str, float] = {}
        self.on_peer: Callable[[Peer], None] = ignore
        bell.on_candidate = self._wanted.set
        bell.on_allow = self._allow_rang

    async def run(self, link: Link) -> None:
        """Look around until the connection is lost; raises what ended it."""
        self._offset, self._allowed = 0, None
        self._due = {"names": 0.0, "allow": 0.0}
        while True:
            now_s = time.monotonic()
            if self._bell.candidates:
                await self._try("candidates", self._meet(link, list(self._bell.candidates)))
                self._bell.candidates.clear()
            if now_s >= self._due["names"]:
                self._due["names"] = now_s + _ROUND_S
                await self._try("directory", self._page(link))
            if now_s >= self._due["allow"]:
                self._due["allow"] = now_s + _ALLOW_S
                await self._try("allowlist", self._read_allowed(link))
            self._wanted.clear()
            if self._bell.candidates:
                continue
            try:
                async with asyncio.timeout(max(0.0, min(self._due.values()) - time.monotonic())):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def _try(self, what: str, step: Awaitable[None]) -> None:
        """Make a step; that the server refuses it is a problem, and keeps nothing else from being done."""
        text = ""
        try:
            await step
        except Refused as refused:
            if isinstance(refused.error, ELSEWHERE):
                raise refused.error from refused
            text = explain_reply(refused.error, refused.doing)
        self._problems.set(what, text)

    def _allow_rang(self) -> None:
        self._due["allow"] = 0.0
        self._wanted.set()

    async def _page(self, link: Link) -> None:
        """Read a page of names."""
        if time.monotonic() < self._oversize_until_s.get("names", 0.0):
            self._due["names"] = time.monotonic() + _ROUND_S
            return
        (clock,) = await all_of(link, ("TIME",))
        since = int(clock[0]) - _RECENT_S if isinstance(clock, list) and isinstance(clock[0], bytes) else 0
        with self._bounded("names", self._keys.names):
            (reply,) = await all_of(
                link, ("ZRANGEBYSCORE", self._keys.names, since, "+inf", "LIMIT", self._offset, _PAGE)
            )
        names = reply if isinstance(reply, list) else []
        await self._meet(link, [name for name in names if isinstance(name, bytes)])
        self._offset += len(names)
        is_flooded = self._offset > _MOST_NAMES
        is_end = len(names) < _PAGE or is_flooded
        self._due["names"] = time.monotonic() + (_ROUND_S if is_end else _PAGE_S)
        if is_end:
            key = self._keys.names.decode()
            text = f"somebody fills the list of names ({key}) with names that are no nodes: delete it (DEL)"
            self._problems.set("names", text if is_flooded else "")
            self._offset = 0

    async def _meet(self, link: Link, names: list[bytes]) -> None:
        """Take the nodes that exist of some names."""
        new = [name for name in names if self._peers.is_new(name)][:_PAGE]
        if not new:
            return
        replies = await all_of(link, *(("EXISTS", self._keys.of(name).hello) for name in new))
        for name, exists in zip(new, replies, strict=True):
            if exists != 1:
                continue
            peer = self._peers.add(name, time.monotonic())
            text = f"the fleet has more than {MAX_PEERS} nodes: further ones are not read"
            self._problems.set("peers", "" if peer else text)
            if peer:
                self.on_peer(peer)

    async def _read_allowed(self, link: Link) -> None:
        """Read the fleet's allowlist, and hand it on if it changed."""
        if time.monotonic() < self._oversize_until_s.get("allow", 0.0):
            return
        entries: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:
            with self._bounded("allow", self._keys.allow):
                cursor, values = await scan(link, self._keys.allow, cursor, _PAGE)
            entries.update((one.field, one.record) for one in read_pairs(Kind.BAN, values))
            if cursor == b"0":
                break
            if len(entries) > _MOST_ALLOWED:
                self._problems.set("allow", f"the fleet's allowlist has more than {_MOST_ALLOWED} entries: not used")
                return
        self._problems.set("allow", "")
        if entries != self._allowed:
            self._allowed = entries
            self._inbox.allowed(entries)

    @contextmanager
    def _bounded(self, what: str, key: bytes) -> Iterator[None]:
        """Ask for something that somebody may have made too large; then leave it alone for some minutes."""
        try:
            yield
        except OversizeError:
            self._oversize_until_s[what] = time.monotonic() + _OVERSIZE_S
            name = key.decode()
            self._problems.set(what, f"{name} holds something that is too large to be read: delete it (DEL {name})")
            raise
