"""Reads all that a peer has in force, in slices, one peer at a time.

The mark is read before and after. It tells from which line on the stream continues the snapshot. If it is gone or older
afterwards, the server lost the hash while it was read, so the parts are not all: then the snapshot is not ended, and
nothing that the peer held before is taken for ended.
"""

import asyncio
import random
import time
from collections.abc import Callable

from monitor.fleet.engine import Inbox, Kind
from monitor.fleet.redis.bell import ignore
from monitor.fleet.redis.explain import explain_reply
from monitor.fleet.redis.lines import MARK_BYTES, read_mark, read_pairs
from monitor.fleet.redis.link import Link
from monitor.fleet.redis.peers import Peer
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.resp import OversizeError
from monitor.fleet.redis.transaction import ELSEWHERE, Refused, all_of, scan

PART = 256
_MOST_PARDONS = 4096
_BUSY_S = 0.005
_LOOK_S = 0.1
_SPREAD_S = 0.001
"""For each node of the fleet: after a loss all read all, and need not do so at once."""


class Snapshots:
    """The peers that are to be read as a whole."""

    def __init__(self, inbox: Inbox, problems: Problems, most: int) -> None:
        """`most`: bans that are read of a peer."""
        self._inbox, self._problems, self._most = inbox, problems, most
        self._waiting: dict[bytes, Peer] = {}
        self._wanted = asyncio.Event()
        self.on_read: Callable[[Peer], None] = ignore
        """Called with each peer that was read, for its lines since."""

    def want(self, peer: Peer, spread: int = 0) -> None:
        """Read a peer soon; `spread`: how many nodes are about to do the same."""
        if peer.name not in self._waiting:
            later_s = time.monotonic() + random.random() * spread * _SPREAD_S  # noqa: S311 - spreads load
            peer.snapshot_from_s = max(peer.snapshot_from_s, later_s)
            self._waiting[peer.name] = peer
            self._wanted.set()

    def has(self, peer: Peer) -> bool:
        """Whether a peer is to be read as a whole, so its lines come later."""
        return peer.name in self._waiting

    async def run(self, link: Link) -> None:
        """Read until the connection is lost; raises what ended it."""
        while True:
            now_s = time.monotonic()
            waiting = self._waiting.values()
            ready = next((one for one in waiting if now_s >= max(one.snapshot_from_s, one.bad_until_s)), None)
            if ready is not None:
                await self._read(link, ready)
            elif waiting:
                await asyncio.sleep(_LOOK_S)
            else:
                self._wanted.clear()
                await self._wanted.wait()

    async def _read(self, link: Link, peer: Peer) -> None:
        began_s = time.monotonic()
        try:
            number = await self._number(link, peer)
            if number is not None:
                is_first, is_cut = await self._parts(link, peer)
                again = await self._number(link, peer)
                if again is None or again < number:
                    number = None
        except OversizeError:
            peer.is_suspect = True
            self._waiting.pop(peer.name, None)
            leave_alone(peer, "it wrote something that is too large to be read", self._problems)
            raise
        except Refused as refused:
            if isinstance(refused.error, ELSEWHERE):
                raise refused.error from refused
            self._waiting.pop(peer.name, None)
            leave_alone(peer, explain_reply(refused.error, "reading"), self._problems)
            return
        self._waiting.pop(peer.name, None)
        if number is None:
            return  # a visit finds its mark again
        self._inbox.snapshot(peer.name.decode(), [], is_first=is_first, is_last=True)
        peer.read_all(number, began_s, time.monotonic())
        text = f"node {peer.name.decode()} has more bans than are taken of one node ({self._most}): the rest is ignored"
        self._problems.set(f"cut {peer.name.decode()}", text if is_cut else "")
        self._problems.set(subject(peer), "")
        self.on_read(peer)

    async def _parts(self, link: Link, peer: Peer) -> tuple[bool, bool]:
        """Hand on the hashes; return whether nothing was handed on yet, and whether there was more."""
        is_first = True
        is_cut = False
        for kind, key, most in (
            (Kind.PARDON, peer.keys.pardons, _MOST_PARDONS),
            (Kind.BAN, peer.keys.bans, self._most + PART),
        ):
            cursor = b"0"
            read = 0
            while True:
                cursor, values = await scan(link, key, cursor, PART)
                part = read_pairs(kind, values)
                read += len(part)
                if part:
                    self._inbox.snapshot(peer.name.decode(), part, is_first=is_first, is_last=False)
                    is_first = False
                if cursor == b"0" or read >= most:
                    is_cut = is_cut or cursor != b"0"
                    break
                while self._inbox.is_busy:
                    await asyncio.sleep(_BUSY_S)
        return is_first, is_cut

    async def _number(self, link: Link, peer: Peer) -> int | None:
        (reply,) = await all_of(link, ("GETRANGE", peer.keys.mark, 0, MARK_BYTES))
        mark = read_mark(reply)
        return mark.number if mark else None


def subject(peer: Peer) -> str:
    """Return under what its problem is kept."""
    return f"peer {peer.name.decode()}"


def leave_alone(peer: Peer, text: str, problems: Problems) -> None:
    """Read nothing of a peer for a while, and say so."""
    peer.found_bad(time.monotonic())
    problems.set(subject(peer), f"node {peer.name.decode()} is not read for now: {text}")
