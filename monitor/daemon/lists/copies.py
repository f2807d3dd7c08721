"""Reads the copies of lists that the child leaves on disk, in a thread: a large one takes a tenth of a second."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from monitor.daemon.lists.held import HeldList
from monitor.lists import state as renewals  # late: see monitor/cli/slim.py
from monitor.lists.file import ListFileError, list_path, read_list
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.retry import Worker

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Copies:
    """One thread, started with the first list."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._worker: Worker | None = None

    async def elsewhere(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Have the thread do this; raises what it raises."""
        self._worker = self._worker or Worker("lists")
        return await asyncio.wrap_future(self._worker.submit(work, *args, **kwargs))

    async def look(self, lists: Sequence[HeldList], state: Path) -> None:
        """Follow what the child left on disk, though nobody said so: new copies, and why there are none."""
        if not lists:
            return
        paths = [list_path(state, held.name) for held in lists]
        states = [renewals.state_path(state, held.name) for held in lists]
        try:
            faults = await self.elsewhere(lambda: [renewals.read_state(path).fault for path in states])
        except SYSTEM_FAULTS:  # there is no thread: the next time is soon
            return
        for held, path, fault in zip(lists, paths, faults, strict=True):
            held.renewal_fault = fault
            if held.signature != _signature(path):
                held.is_unread = True

    async def read(self, held: HeldList, state: Path) -> bool:
        """Read the copy of a list; return whether there is a usable one. What was read before stays otherwise."""
        held.is_unread = False
        path = list_path(state, held.name)
        held.signature = _signature(path)
        try:
            copy = await self.elsewhere(read_list, path)
        except FileNotFoundError:
            held.read_fault = ""
        except (ListFileError, *SYSTEM_FAULTS) as error:
            held.read_fault = f"its copy cannot be used: {explain(error)}"
            _log.error("list %s: %s", held.name, held.read_fault)
        else:
            is_its_own = copy.header.name == held.name
            held.read_fault = "" if is_its_own else f"its copy is that of list {copy.header.name}"
            if is_its_own:
                held.take(copy)
            return is_its_own
        return False

    def close(self) -> None:
        """End the thread."""
        if self._worker:
            self._worker.shutdown(cancel=True)


def _signature(path: Path) -> tuple[int, ...]:
    """Return what tells a file from the one that replaces it; empty without one."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
