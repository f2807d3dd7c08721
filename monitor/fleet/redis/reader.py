"""Reads what peers publish: their lines as the bell names them, and all of them in turn in case it does not.

Each turn is bounded: so many peers, so many lines, and a reply of two megabytes at most. A peer whose keys hold
anything else than what nodes write is left alone for a while; the others are not affected.
"""

import asyncio
import time
from collections.abc import Sequence

from redis.exceptions import ResponseError

from monitor.fleet.engine import Inbox
from monitor.fleet.redis.explain import explain_reply
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.redis.lines import MARK_BYTES, read_line, read_mark
from monitor.fleet.redis.link import Command, Link
from monitor.fleet.redis.peers import Peer, Peers, Turn
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.resp import OversizeError, Reply
from monitor.fleet.redis.snapshots import Snapshots, leave_alone, subject
from monitor.fleet.redis.transaction import ELSEWHERE

PEERS_AT_ONCE = 32
LINES_AT_ONCE = 32
"""Of all peers in one reply: 32 lines of 8 KiB."""
VISIT_S = 6.0
_VISIT_PEER_S = 0.002
"""For each peer: with thousands, visits would occupy the server."""
VISITED = 100
HELLO_S = 15.0
HELLO_BYTES = 4096
SILENT_S = 60.0
"""A server that was wiped has no hello of anybody, who are all there."""
_BUSY_S = 0.005


class Reader:
    """Reads for this node; each session gives it a connection."""

    def __init__(self, keys: FleetKeys, peers: Peers, snapshots: Snapshots, inbox: Inbox, problems: Problems) -> None:
        """`snapshots` reads peers whose lines are not enough."""
        self._keys, self._peers, self._snapshots = keys, peers, snapshots
        self._inbox, self._problems = inbox, problems
        self._due: dict[bytes, Peer] = {}
        self._wanted = asyncio.Event()
        self._visit_at_s = 0.0
        self._is_rushing = False
        """Whether a round of visits is to be made at once."""

    def want(self, peer: Peer) -> None:
        """Read the lines of a peer soon."""
        if peer.number is None:
            self._snapshots.want(peer)
            return
        self._due[peer.name] = peer
        self._wanted.set()

    def visit_all(self) -> None:
        """Look at every peer as soon as possible."""
        self._peers.visit_all()
        self._visit_at_s, self._is_rushing = 0.0, True
        self._wanted.set()

    async def run(self, link: Link) -> None:
        """Read until the connection is lost; raises what ended it."""
        self.visit_all()
        while True:
            now_s = time.monotonic()
            if now_s >= self._visit_at_s:
                await self._visit(link)
            elif batch := self._next(now_s):
                await self._read(link, batch)
            else:
                await self._wait(1.0 if self._due else self._visit_at_s - now_s)
            while self._inbox.is_busy:
                await asyncio.sleep(_BUSY_S)

    async def _wait(self, limit_s: float) -> None:
        self._wanted.clear()
        try:
            async with asyncio.timeout(limit_s):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _next(self, now_s: float) -> list[Peer]:
        """Take the peers whose lines are read next."""
        batch: list[Peer] = []
        for name, peer in list(self._due.items()):
            if peer.number is None or now_s < peer.bad_until_s or self._snapshots.has(peer):
                del self._due[name]  # a visit or the snapshot comes back to it
            elif peer.may_read(now_s):
                if peer.is_suspect and batch:
                    continue
                del self._due[name]
                batch.append(peer)
                if peer.is_suspect or len(batch) == PEERS_AT_ONCE:
                    break
        return batch

    async def _read(self, link: Link, batch: Sequence[Peer]) -> None:
        count = LINES_AT_ONCE // len(batch)
        ids = [b"%d-0" % (peer.number or 0) for peer in batch]
        try:
            (reply,) = await link.call(
                ("XREAD", "COUNT", count, "STREAMS", *(peer.keys.stream for peer in batch), *ids)
            )
        except OversizeError:
            self._blame(batch)
            raise
        if isinstance(reply, ResponseError):
            self._refused(batch, reply)
            return
        found = _by_stream(reply)
        for peer in batch:
            self._take(peer, found.get(peer.keys.stream, []), count)
            await asyncio.sleep(0)

    def _take(self, peer: Peer, entries: list[Reply], count: int) -> None:
        """Hand on the lines of a peer; after a gap or a resync, read all of it."""
        now_s = time.monotonic()
        if not entries:
            if peer.number is not None and peer.expected > peer.number:
                self._snapshots.want(peer)
            return
        peer.found_good()
        for entry in entries:
            line = read_line(entry)
            if line is None or peer.number is None or line.number != peer.number + 1:
                self._snapshots.want(peer)
                return
            if line.resync is not None and line.resync != peer.number:
                self._snapshots.want(peer, spread=len(self._peers))
                return
            peer.number = line.number
            if line.changes:
                peer.count(len(line.changes), now_s)
                self._inbox.changed(peer.name.decode(), line.changes)
        if len(entries) == count or peer.expected > (peer.number or 0):
            self.want(peer)

    async def _visit(self, link: Link) -> None:
        """Look at the marks and hellos of some peers."""
        now_s = time.monotonic()
        batch = self._peers.visit(VISITED)
        self._is_rushing = self._is_rushing and len(batch) == VISITED
        self._visit_at_s = now_s if self._is_rushing else now_s + max(VISIT_S, _VISIT_PEER_S * len(self._peers))
        for part in ([peer for peer in batch if not peer.is_suspect], *([one] for one in batch if one.is_suspect)):
            if asked := [peer for peer in part if now_s >= peer.bad_until_s]:
                await self._ask(link, asked)

    async def _ask(self, link: Link, batch: Sequence[Peer]) -> None:
        now_s = time.monotonic()
        commands: list[Command] = [("GETRANGE", peer.keys.mark, 0, MARK_BYTES) for peer in batch]
        greeting = [peer for peer in batch if now_s >= peer.hello_due_s]
        commands += [("GETRANGE", peer.keys.hello, 0, HELLO_BYTES) for peer in greeting]
        try:
            replies = await link.call(*commands)
        except OversizeError:
            self._blame(batch)
            raise
        hellos = {peer.name: reply for peer, reply in zip(greeting, replies[len(batch) :], strict=True)}
        for peer, reply in zip(batch, replies, strict=False):
            hello = hellos.get(peer.name)
            if wrong := next((one for one in (reply, hello) if isinstance(one, ResponseError)), None):
                self._refused([peer], wrong)
                continue
            if hello is not None:
                self._hello(peer, hello, now_s)
            self._marked(peer, reply)

    def _hello(self, peer: Peer, hello: Reply, now_s: float) -> None:
        peer.hello_due_s = now_s + HELLO_S
        if isinstance(hello, bytes) and hello:
            peer.heard_s, peer.is_silent = now_s, False
            self._inbox.helloed(peer.name.decode(), hello)
        elif not peer.is_silent and now_s - peer.heard_s > SILENT_S:
            peer.is_silent = True
            self._inbox.helloed(peer.name.decode(), b"")

    def _marked(self, peer: Peer, reply: Reply) -> None:
        """Decide what is to be read of a peer; where its mark is gone, what we know of it stays."""
        mark = read_mark(reply)
        if mark is None:
            if self._peers.forget_if_gone(peer, time.monotonic()):
                self._problems.set(subject(peer), "")
            return
        match peer.marked(mark.number):
            case Turn.SNAPSHOT:
                self._snapshots.want(peer)
            case Turn.LINES:
                self.want(peer)
            case Turn.NOTHING:
                peer.found_good()
                self._problems.set(subject(peer), "")

    def _blame(self, batch: Sequence[Peer]) -> None:
        """One of them wrote what is too large to read: find out who, one at a time, and leave that one alone."""
        for peer in batch:
            peer.is_suspect = True
        if len(batch) == 1:
            leave_alone(batch[0], "it wrote something that is too large to be read", self._problems)

    def _refused(self, batch: Sequence[Peer], error: ResponseError) -> None:
        """Take that keys of peers could not be read; if there are several, the visits find out which."""
        if isinstance(error, ELSEWHERE):
            raise error
        if len(batch) == 1:
            leave_alone(batch[0], explain_reply(error, "reading"), self._problems)
            return
        for peer in batch:
            peer.is_suspect = True
            self.want(peer)


def _by_stream(reply: Reply) -> dict[bytes, list[Reply]]:
    """Return the entries of each stream of a reply to XREAD."""
    found: dict[bytes, list[Reply]] = {}
    for part in reply if isinstance(reply, list) else ():
        match part:
            case [bytes(key), list(entries)]:
                found[key] = entries
    return found
