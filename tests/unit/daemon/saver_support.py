"""What tests of the saver share."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError
from monitor.state.changes import StateChanges
from monitor.state.saver import Saver
from monitor.state.store import Store
from tests.unit.bans.store_support import BAN


class Clock:
    """A clock that tests set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Disk:
    """Opens stores that take nothing while the disk is full, or wait while it is slow."""

    def __init__(self) -> None:
        self.is_full = False
        self.go = threading.Event()
        self.go.set()
        self.writes = 0

    def open(self, path: Path) -> Store:
        """Open a store on this disk."""
        if self.is_full:
            raise TemporaryError("disk full: free space")
        store = Store.open(path)
        write = store.write

        def limited(changes: StateChanges, *, durable: bool = False) -> None:
            self.go.wait(10)
            self.writes += 1
            store._writer.execute(f"PRAGMA max_page_count = {1 if self.is_full else 10**6}")
            write(changes, durable=durable)

        store.write = limited  # type: ignore[method-assign]
        return store


def many(count: int) -> list[Ban]:
    """Return bans of as many hosts."""
    return [msgspec.structs.replace(BAN, network=Network(n.to_bytes(4), 32)) for n in range(count)]


def tick_until(saver: Saver, condition: Callable[[], bool]) -> None:
    """Let the loop's seconds pass, as fast as the worker goes."""
    for _ in range(1000):
        saver.tick()
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it does not come to that")
