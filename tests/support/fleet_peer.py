"""A node of a fleet without a daemon: publishes what a test wants, over the real engine."""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from monitor.fleet.engine import Change, Kind
from monitor.fleet.records import VERSION, BanRecord, Hello, SharedSet, encode
from monitor.fleet.redis.engine import RedisEngine
from monitor.fleet.settings import FleetSettings
from tests.support.lab import Host


def ban_change(number: int, network: str, *, until_s: float, since_s: float = 0.0) -> Change:
    """Return a change that says that a network was banned on proven evidence."""
    since_s = since_s or time.time()
    record = BanRecord(VERSION, number, network, SharedSet.BAN, since_s, until_s, "sshd", "5 failures in sshd", 5, 5)
    return Change(Kind.BAN, f"{SharedSet.BAN} {network}".encode(), encode(record), until_s)


class _Script:
    """Outbox and inbox: what is published, and what was heard."""

    def __init__(self) -> None:
        self.records: dict[bytes, Change] = {}
        self.waiting: deque[Change] = deque()
        self.connected_at: list[float] = []
        self.problems: list[str] = []
        self.heard: dict[str, int] = {}
        self.is_busy = False
        self.is_overrun = False

    def take(self, limit: int) -> Sequence[Change]:
        return [self.waiting.popleft() for _ in range(min(limit, len(self.waiting)))]

    def put_back(self, changes: Sequence[Change]) -> None:
        self.waiting.extendleft(reversed(changes))

    def whole(self) -> Iterator[Change]:
        yield from list(self.records.values())

    def hello(self) -> bytes:
        now_s = time.time()
        return encode(
            Hello(VERSION, "test", now_s, "edge", "enforce", "", "", "", 0, len(self.records), 0, 0, 0, 0, 0.0)
        )

    def connected(self, offset_s: float) -> None:
        self.connected_at.append(time.monotonic())

    def disconnected(self, problem: str) -> None:
        self.problems.append(problem)

    def changed(self, node: str, changes: Sequence[Change]) -> None:
        self.heard[node] = self.heard.get(node, 0) + len(changes)

    def snapshot(self, node: str, part: Sequence[Change], *, is_first: bool, is_last: bool) -> None:
        self.heard[node] = self.heard.get(node, 0) + len(part)

    def helloed(self, node: str, hello: bytes) -> None:
        pass

    def allowed(self, entries: Mapping[bytes, bytes]) -> None:
        pass

    def problem(self, text: str) -> None:
        if text:
            self.problems.append(text)


class FleetPeer:
    """Runs the engine in a thread, inside a host of the lab; a context manager."""

    def __init__(self, settings: FleetSettings, host: Host | None = None) -> None:
        """Nothing runs yet."""
        self._settings = settings
        self._host = host
        self.script = _Script()
        self._loop = asyncio.new_event_loop()
        self._engine: Any = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)

    def publish(self, changes: Sequence[Change]) -> None:
        """Publish changes, as fast as the engine takes them."""

        def add() -> None:
            for change in changes:
                if change.kind is Kind.BAN:
                    self.script.records[change.field] = change
                else:
                    self.script.records.pop(change.field, None)
                self.script.waiting.append(change)
            self._engine.wake()

        self._loop.call_soon_threadsafe(add)

    @property
    def is_idle(self) -> bool:
        """Whether all was handed to the engine, and it is connected."""
        return bool(self.script.connected_at) and not self.script.waiting

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        with (
            self._host.entered() if self._host else contextlib.nullcontext(),
            contextlib.suppress(asyncio.CancelledError),
        ):
            self._loop.run_until_complete(self._main())
        self._loop.run_until_complete(asyncio.sleep(0))  # transports close
        self._loop.close()

    async def _main(self) -> None:
        self._engine = RedisEngine(self._settings, self._settings.node, self.script, self.script)
        self._task = asyncio.current_task()
        await self._engine.run()
