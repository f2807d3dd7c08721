"""Members of a fleet with an inbox and an outbox as simple as can be."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from monitor.fleet.engine import Change, Kind
from monitor.fleet.redis.engine import RedisEngine
from monitor.fleet.settings import FleetSettings

HOUR_S = 3600.0
HANG_S = 20.0
"""A bound on a hang, not on speed."""


class Member:
    """A node: what it has in force, and what it knows of others."""

    def __init__(self, name: str, /, **settings: Any) -> None:
        """`settings`: those of section fleet; the engine is made, and runs in `running`."""
        self.name = name
        self.settings = FleetSettings(**settings)
        self.live: dict[bytes, Change] = {}
        self.waiting: dict[bytes, Change] = {}
        self.peers: dict[str, dict[bytes, bytes]] = {}
        self.pardons: set[bytes] = set()
        self.hellos: dict[str, bytes] = {}
        self.allowlist: dict[bytes, bytes] = {}
        self.snapshots: list[str] = []
        self.lines = 0
        self.problems: list[str] = [""]
        self.is_connected = False
        self.connections = 0
        self.is_busy = self.is_overrun = False
        self._parts: dict[bytes, bytes] = {}
        self.engine = RedisEngine(self.settings, name, self, self)

    def ban(self, *fields: str, record: bytes = b"record", for_s: float = HOUR_S) -> None:
        """Ban, as the daemon's policy does."""
        for field in fields:
            change = Change(Kind.BAN, field.encode(), record, time.time() + for_s)
            self.live[change.field] = self.waiting[change.field] = change
        self.engine.wake()

    def unban(self, *fields: str) -> None:
        """Withdraw bans."""
        for field in fields:
            del self.live[field.encode()]
            self.waiting[field.encode()] = Change(Kind.UNBAN, field.encode())
        self.engine.wake()

    def pardon(self, field: str) -> None:
        """Pardon a network."""
        change = Change(Kind.PARDON, field.encode(), b"pardon", time.time() + HOUR_S)
        self.live[b"p" + change.field] = self.waiting[b"p" + change.field] = change
        self.engine.wake()

    def knows(self, other: "Member") -> bool:
        """Whether it knows all that another has in force, and no more."""
        bans = {change.field: change.record for change in other.live.values() if change.kind is Kind.BAN}
        return self.peers.get(other.name) == bans

    def take(self, limit: int) -> Sequence[Change]:
        return [self.waiting.pop(key) for key in list(self.waiting)[:limit]]

    def put_back(self, changes: Sequence[Change]) -> None:
        for change in changes:
            key = b"p" + change.field if change.kind is Kind.PARDON else change.field
            self.waiting.setdefault(key, change)

    def whole(self) -> Iterator[Change]:
        self.is_overrun = False
        yield from list(self.live.values())

    def hello(self) -> bytes:
        return b"hello of " + self.name.encode()

    def connected(self, offset_s: float) -> None:
        self.is_connected = True
        self.connections += 1

    def disconnected(self, problem: str) -> None:
        self.is_connected = False
        self.problems.append(problem)

    def changed(self, node: str, changes: Sequence[Change]) -> None:
        self.lines += len(changes)
        known = self.peers.setdefault(node, {})
        for change in changes:
            if change.kind is Kind.BAN:
                known[change.field] = change.record
            elif change.kind is Kind.UNBAN:
                known.pop(change.field, None)
            else:
                self.pardons.add(change.field)

    def snapshot(self, node: str, part: Sequence[Change], *, is_first: bool, is_last: bool) -> None:
        if is_first:
            self._parts = {}
        self._parts |= {change.field: change.record for change in part if change.kind is Kind.BAN}
        self.pardons |= {change.field for change in part if change.kind is Kind.PARDON}
        if is_last:
            self.peers[node] = self._parts
            self.snapshots.append(node)

    def helloed(self, node: str, hello: bytes) -> None:
        self.hellos[node] = hello

    def allowed(self, entries: Mapping[bytes, bytes]) -> None:
        self.allowlist = dict(entries)

    def problem(self, text: str) -> None:
        self.problems.append(text)


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    """Run the engines of members; what one raises ends the test."""
    tasks = [asyncio.create_task(member.engine.run()) for member in members]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], object], *about: Member) -> None:
    """Wait for something that must come."""
    try:
        async with asyncio.timeout(HANG_S):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        states = {member.name: (member.problems[-5:], {n: len(p) for n, p in member.peers.items()}) for member in about}
        raise AssertionError(f"it does not come: {states}") from None
