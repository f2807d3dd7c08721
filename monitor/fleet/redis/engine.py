"""The engine: sessions with the server, one after the other.

A session has two connections and five tasks: one listens for the bell, the others share the second connection, on
which each call is a few milliseconds: publish, read the lines of peers, read peers as a whole, look around. Whatever
ends one ends the session; then another is tried, a little later each time. What was read and written is remembered
over sessions, so only what was missed is read again.
"""

import asyncio
import random
import time

from redis.exceptions import RedisError

from monitor.fleet.engine import Inbox, Outbox
from monitor.fleet.redis.bell import BLOCK_S, Bell
from monitor.fleet.redis.clock import EngineClock
from monitor.fleet.redis.credentials import CredentialError, readable_by_others
from monitor.fleet.redis.dial import Dialer, DialError, Links
from monitor.fleet.redis.directory import Directory
from monitor.fleet.redis.explain import Cause, cause_of, explain
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.redis.link import REPLY_S, Link
from monitor.fleet.redis.peers import Peer, Peers
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.reader import Reader
from monitor.fleet.redis.snapshots import Snapshots
from monitor.fleet.redis.writer import Writer
from monitor.fleet.settings import FleetSettings

CLOCK_S = 60.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
_LONGEST_WAIT_S = {Cause.DOWN: 2.5, Cause.UNREACHABLE: 0.3, Cause.OVERSIZE: 0.1}
"""A server that does not run is back soon, and attempts cost nobody anything. Nor do they where packets are dropped,
and each has waited already. What is too large is not asked for again."""
_STABLE_S = 30.0
_FEW_PEERS = 200
_FAULTS = (RedisError, OSError, TimeoutError, CredentialError, DialError)


class RedisEngine:
    """A connection to the fleet's memory (`monitor.fleet.engine.Engine`)."""

    def __init__(self, settings: FleetSettings, node: str, inbox: Inbox, outbox: Outbox) -> None:
        """`node`: our name, which follows NODE_NAME. ValueError if the URL names no server."""
        self._settings, self._inbox = settings, inbox
        self._dialer = Dialer(settings)
        keys = self._keys = FleetKeys(settings.name)
        self._own = keys.of(node.encode())
        self._problems = Problems(inbox)
        self._clock = EngineClock()
        self._peers = Peers(keys, node.encode())
        self._writer = Writer(keys, node, outbox, self._problems, self._clock)
        self._snapshots = Snapshots(inbox, self._problems, settings.max_per_peer)
        self._reader = Reader(keys, self._peers, self._snapshots, inbox, self._problems)
        self._bell = Bell(keys, self._peers, self._problems)
        self._directory = Directory(keys, self._peers, self._bell, inbox, self._problems)
        self._longest_s = LONGEST_WAIT_S
        self._bell.on_peer = self._snapshots.on_read = self._reader.want
        self._bell.on_flood = self._flooded
        self._directory.on_peer = self._met

    def wake(self) -> None:
        """Take that the outbox has something; returns at once."""
        self._writer.wake()

    async def run(self) -> None:
        """Connect, publish, read, and connect again whenever that ends; only cancelling ends it."""
        wait_s = FIRST_WAIT_S
        while True:
            began_s = time.monotonic()
            # A task of its own: before Python 3.12, one whose TaskGroup failed takes later timeouts for cancellation.
            is_lost = await asyncio.create_task(self._session())
            if is_lost and time.monotonic() - began_s > _STABLE_S:
                wait_s = FIRST_WAIT_S
            await asyncio.sleep(min(wait_s, self._longest_s) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _session(self) -> bool:
        """Hold one session; return whether it began."""
        links: Links | None = None
        try:
            links = await self._dialer.open(self._own.mark, BLOCK_S + REPLY_S)
            await self._measure_clock(links.commands)
            self._problems.tell(again=True)
            await self._work(links)
        except* _FAULTS as group:
            self._note(group)
        finally:
            if links is not None:
                await links.close()
        return links is not None

    async def _work(self, links: Links) -> None:
        self._check_files()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run(links.commands, is_redirected=self._dialer.is_redirected))
            tasks.create_task(self._bell.run(links.bell, self._clock))
            tasks.create_task(self._directory.run(links.commands))
            tasks.create_task(self._reader.run(links.commands))
            tasks.create_task(self._snapshots.run(links.commands))
            tasks.create_task(self._follow_clock(links.commands))

    async def _follow_clock(self, link: Link) -> None:
        while True:
            await asyncio.sleep(CLOCK_S)
            await self._measure_clock(link)

    async def _measure_clock(self, link: Link) -> None:
        """Learn how far the engine's clock is ahead of ours."""
        before_s = time.time()
        offset_s = 0.0
        is_step = False
        reply = await link.one("TIME")
        after_s = time.time()
        match reply:
            case [bytes(seconds), bytes(micros)] if seconds.isdigit() and micros.isdigit():
                server_s = int(seconds) + int(micros) / 1e6
                offset_s = server_s - (before_s + after_s) / 2
                is_step = self._clock.set(server_s + (after_s - before_s) / 2)
        self._inbox.connected(offset_s)
        if is_step:
            self._writer.clock_stepped()

    def _note(self, group: BaseExceptionGroup[BaseException]) -> None:
        """Tell people what ended the session or kept it from beginning."""
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._longest_s = _LONGEST_WAIT_S.get(cause_of(error), LONGEST_WAIT_S)
        self._inbox.disconnected(explain(error, str(self._dialer.last)))

    def _check_files(self) -> None:
        for name in (self._settings.password_file, self._settings.key_file):
            self._problems.set(name, readable_by_others(name) if name else "")

    def _met(self, peer: Peer) -> None:
        """Look at a peer that was found."""
        del peer
        self._reader.visit_all()

    def _flooded(self) -> None:
        """Visit everybody at once where the bell is no use, unless that is too much work for each second."""
        if len(self._peers) <= _FEW_PEERS:
            self._reader.visit_all()
