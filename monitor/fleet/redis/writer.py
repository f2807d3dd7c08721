"""When to write: changes at once, hello every 20 s, and looks whether the server still has what we wrote."""

import asyncio
import contextlib
import time

from redis.exceptions import ReadOnlyError, ResponseError

from monitor.fleet.engine import Outbox
from monitor.fleet.redis.clock import EngineClock
from monitor.fleet.redis.explain import explain_reply
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.redis.lines import Mark
from monitor.fleet.redis.link import Link
from monitor.fleet.redis.problems import Problems
from monitor.fleet.redis.publisher import SLICE, Publisher
from monitor.fleet.redis.transaction import ELSEWHERE, Refused, all_of

HELLO_S = 20.0
HELLO_GONE_MS = 60_000
CHECK_S = 5.0
FORGET_S = 30.0
NAME_KEPT_S = 86_400.0
_RETRY_S = (1.0, 15.0)
"""After a refusal: at first, and at most."""
_READ_ONLY_S = 15.0
_NAMESAKE_S = 120.0
"""Two runs that write our keys within that time are two nodes of one name, and no restart."""
_YIELD_S = 60.0


class Writer:
    """Writes for this node; each session gives it a connection."""

    def __init__(self, keys: FleetKeys, node: str, outbox: Outbox, problems: Problems, clock: EngineClock) -> None:
        """`node`: our name."""
        self._keys, self._node, self._clock = keys, node.encode(), clock
        self._outbox, self._problems = outbox, problems
        self._publisher = Publisher(keys, self._node, outbox)
        self._wanted = asyncio.Event()
        self._taken_over_s = float("-inf")

    def wake(self) -> None:
        """Take that the outbox has something."""
        self._wanted.set()

    def clock_stepped(self) -> None:
        """Take that the engine's clock was set, so what is published has other ends: compare all of it."""
        self._publisher.is_equal = False
        self._wanted.set()

    async def run(self, link: Link, *, is_redirected: bool) -> None:
        """Write until the connection is lost; raises what ended it. What is refused is tried again, ever later."""
        self._publisher.is_equal = False
        self._due = {"hello": 0.0, "check": 0.0, "forget": time.monotonic() + FORGET_S}
        wait_s = _RETRY_S[0]
        read_only_since: float | None = None
        while True:
            try:
                await self._turn(link)
                wait_s, read_only_since = _RETRY_S[0], None
                self._problems.set("write", "")
                await self._wait()
            except Refused as refused:
                if isinstance(refused.error, ELSEWHERE):
                    raise refused.error from refused
                if isinstance(refused.error, ReadOnlyError):
                    read_only_since = read_only_since or time.monotonic()
                    if is_redirected or time.monotonic() - read_only_since > _READ_ONLY_S:
                        raise refused.error from refused
                self._problems.set("write", explain_reply(refused.error, refused.doing))
                self._publisher.is_equal = False
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_S[1])
            except NamesakeError as namesake:
                self._problems.set("namesake", str(namesake))
                self._publisher.is_equal = False
                await asyncio.sleep(_YIELD_S)
                self._problems.set("namesake", "")

    async def _turn(self, link: Link) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self._due["hello"]:
            await self._hello(link)
            self._due["hello"] = now + HELLO_S
        if now >= self._due["check"] or not self._publisher.is_equal:
            await self._check(link)
            self._due["check"] = now + CHECK_S
        if now >= self._due["forget"]:
            await self._publisher.forget(link, self._clock.now_s())
            self._due["forget"] = now + FORGET_S
        await self._publish(link)

    async def _wait(self) -> None:
        """Wait for changes, or until something is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(self._due.values()) - time.monotonic())):
                await self._wanted.wait()

    async def _publish(self, link: Link) -> None:
        self._wanted.clear()
        while self._publisher.is_equal and not self._outbox.is_overrun and (changes := self._outbox.take(SLICE)):
            try:
                foreign = await self._publisher.publish(link, changes, self._clock.now_s())
            except BaseException:
                self._outbox.put_back(changes)
                raise
            self._notice(foreign)
            if self._publisher.is_bell_refused:
                await link.call(("DEL", self._keys.bell))
        if self._outbox.is_overrun:
            self._publisher.is_equal = False
        if not self._publisher.is_equal:
            self._wanted.set()

    async def _check(self, link: Link) -> None:
        """Make the server equal to what is in force here if it is not."""
        is_intact, mark = await self._publisher.is_intact(link)
        if is_intact and not self._outbox.is_overrun:
            self._publisher.is_equal = True
            return
        self._notice(mark if self._publisher.is_foreign(mark) else None)
        await self._publisher.equalise(link, mark, self._clock.now_s())

    async def _hello(self, link: Link) -> None:
        now_s = self._clock.now_s()
        await all_of(link, ("SET", self._keys.of(self._node).hello, self._outbox.hello(), "PX", HELLO_GONE_MS))
        replies = await link.call(
            ("ZADD", self._keys.names, int(now_s), self._node),
            ("ZREMRANGEBYSCORE", self._keys.names, "-inf", int(now_s - NAME_KEPT_S)),
            ("ZREMRANGEBYSCORE", self._keys.names, int(now_s + NAME_KEPT_S), "+inf"),
        )
        error = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        # everybody can break this list; without it, peers find us by the bell
        self._problems.set("announce", explain_reply(error, f"ZADD {self._keys.names.decode()}") if error else "")

    def _notice(self, foreign: Mark | None) -> None:
        """Tell a restart of this node, whose keys another run wrote, from another node of the same name."""
        if foreign is None or not self._publisher.is_foreign(foreign):
            return
        now = time.monotonic()
        if now - self._taken_over_s < _NAMESAKE_S:
            raise NamesakeError(self._node.decode())
        self._taken_over_s = now


class NamesakeError(Exception):
    """Another node uses our name; publishing pauses, so that they do not overwrite each other all the time."""

    def __init__(self, node: str) -> None:
        """`node`: the name."""
        super().__init__(f"another node of the fleet is called {node}, too: give each its own name (fleet.node)")
