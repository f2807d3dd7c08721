"""Waits for the bell: a stream of the names of nodes that have just written.

Every node can write anything there, so it is a hint and no more. Names that are none are passed over, a flood of them
is skipped, and meanwhile all peers are visited in turn.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from redis.exceptions import ResponseError

from monitor.fleet.redis.clock import EngineClock
from monitor.fleet.redis.explain import explain_reply
from monitor.fleet.redis.keys import BELL_ALLOW, FleetKeys
from monitor.fleet.redis.link import Link
from monitor.fleet.redis.peers import Peer, Peers
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.resp import OversizeError, Reply
from monitor.fleet.redis.transaction import ELSEWHERE

BLOCK_S = 5.0
_AT_ONCE = 256
_PAUSE_S = 0.00025
"""For each node of the fleet, after each reply: a server wakes everybody at each line."""
_LONGEST_PAUSE_S = 5.0
_FLOOD = 40
"""Replies in a row that are full: as much as a bell keeps."""
_BEFORE_MS = 60_000
"""At first it is read from so long ago: it names nodes that the list of names may lack: anybody can break it."""
_FLOOD_PAUSE_S = 1.0
_IGNORED_S = 60.0
_CANDIDATES = 256
_FUTURE_MS = 60_000


def ignore(*_: object) -> None:
    """Do nothing: what callbacks are before they are set."""


class Rung(NamedTuple):
    """What a reply said."""

    last_id: bytes
    names: list[bytes]


class Bell:
    """Hears which peers wrote."""

    def __init__(self, keys: FleetKeys, peers: Peers, problems: Problems) -> None:
        """Set the callbacks before the first session."""
        self._keys, self._peers, self._problems = keys, peers, problems
        self._ignored_until_s = 0.0
        self.candidates: dict[bytes, None] = {}
        """Names of peers that may exist."""
        self.on_peer: Callable[[Peer], None] = ignore
        self.on_candidate: Callable[[], None] = ignore
        self.on_allow: Callable[[], None] = ignore
        self.on_flood: Callable[[], None] = ignore

    async def run(self, link: Link, clock: EngineClock) -> None:
        """Listen until the connection is lost; raises what ended it."""

        def now_ms() -> int:
            return int(clock.now_s() * 1000)

        last = b"%d-0" % (now_ms() - _BEFORE_MS)
        full = 0
        while True:
            if (ignored_s := self._ignored_until_s - time.monotonic()) > 0:
                self.on_flood()
                await asyncio.sleep(min(ignored_s, _FLOOD_PAUSE_S))
                last = b"%d-0" % now_ms()
                if ignored_s > _FLOOD_PAUSE_S:
                    await link.one("PING")
                    continue
            reply = await self._listen(link, last)
            rung = _read(reply)
            if time.monotonic() >= self._ignored_until_s:
                self._problems.set("bell", "")
            if rung is None:
                continue
            last = rung.last_id
            full = full + 1 if len(rung.names) >= _AT_ONCE else 0
            self._hear(rung.names)
            is_forged = int(last.partition(b"-")[0]) > now_ms() + _FUTURE_MS
            if is_forged or full >= _FLOOD:
                self._ignore("somebody writes without end into the bell, or with ids of the future")
                full = 0
            await asyncio.sleep(min(_LONGEST_PAUSE_S, len(self._peers) * _PAUSE_S))

    async def _listen(self, link: Link, last: bytes) -> Reply:
        command = ("XREAD", "COUNT", _AT_ONCE, "BLOCK", int(BLOCK_S * 1000), "STREAMS", self._keys.bell, last)
        try:
            return await link.one(*command)
        except OversizeError:
            self._ignore("somebody wrote a line into the bell that is too large")
            raise
        except ELSEWHERE:
            raise
        except ResponseError as error:
            self._ignore(explain_reply(error, "XREAD"))
            return None

    def _hear(self, names: list[bytes]) -> None:
        for name in dict.fromkeys(names):
            if (peer := self._peers.get(name)) is not None:
                self.on_peer(peer)
            elif name == BELL_ALLOW:
                self.on_allow()
            elif self._peers.is_new(name) and len(self.candidates) < _CANDIDATES:
                self.candidates[name] = None
        if self.candidates:
            self.on_candidate()

    def _ignore(self, text: str) -> None:
        self._ignored_until_s = time.monotonic() + _IGNORED_S
        self._problems.set("bell", f"the fleet's bell ({self._keys.bell.decode()}) is ignored for a minute: {text}")


def _read(reply: Reply) -> Rung | None:
    """Return the names in a reply to XREAD; None if there is none."""
    match reply:
        case [[bytes(), [*entries]], *_] if entries:
            pass
        case _:
            return None
    names, last = [], b""
    for entry in entries:
        match entry:
            case [bytes(id_), [bytes(), bytes(name), *_]]:
                last = id_
                names.append(name)
            case [bytes(id_), *_]:
                last = id_
    return Rung(last, names) if last.partition(b"-")[0].isdigit() else None
