"""Finds the lines of a block that at least one expression may match, in one pass over the block."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias
from weakref import WeakValueDictionary

from monitor.filters.databases import Databases, hyperscan

_log = logging.getLogger(__name__)

_SURELY_TAKEN = 1000
"""Hyperscan accepts every fragment up to this length, in characters; test-compiling each would slow the start."""

Candidate: TypeAlias = tuple[int, int, Sequence[int] | None]
"""A line (`data[start:end]`, with its newline) and the numbers of expressions that may match, sorted; None: all."""


class Scanner(Protocol):
    """Finds candidates."""

    @property
    def is_ready(self) -> bool:
        """Whether `candidates` answers at once."""
        ...

    def candidates(self, data: bytes) -> list[Candidate]:
        """Return the candidates in the order of the lines; `data` consists of whole lines."""
        ...


class EveryLine:
    """Treats every line as a candidate for every expression."""

    is_ready = True

    def candidates(self, data: bytes) -> list[Candidate]:
        """Return every line."""
        found: list[Candidate] = []
        start = 0
        while end := data.find(b"\n", start) + 1:
            found.append((start, end, None))
            start = end
        return found


class BlockScanner:
    """Searches for the text that each expression requires, with one Hyperscan database."""

    def __init__(self, fragments: Sequence[str], databases: Databases | None = None) -> None:
        """Have a database compiled; `fragments` has one item per expression (see `fragments.required`), none empty."""
        by_text: dict[str, list[int]] = {}
        for number, text in enumerate(fragments):
            by_text.setdefault(text, []).append(number)
        self._numbers = [tuple(numbers) for numbers in by_text.values()]
        # `.*\n` gives one match per line, at its end, however often the text occurs.
        self._compiling = (databases or Databases()).get([f"{text}.*\\n".encode() for text in by_text])
        self._database: Any = None
        self._all: EveryLine | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the database is compiled; `candidates` waits for it."""
        return self._compiling.done()

    def candidates(self, data: bytes) -> list[Candidate]:
        """Return the lines that contain the text that some expression requires."""
        if self._database is None and self._all is None:
            self._take()
        if self._all:
            return self._all.candidates(data)
        hits: list[tuple[int, int]] = []
        self._database.scan(data, match_event_handler=_collector(hits))
        hits.sort()
        numbers = self._numbers
        found: list[Candidate] = []
        index, count = 0, len(hits)
        while index < count:
            end, number = hits[index]
            index += 1
            wanted: Sequence[int] = numbers[number]
            if index < count and hits[index][0] == end:
                several = list(wanted)
                while index < count and hits[index][0] == end:
                    several += numbers[hits[index][1]]
                    index += 1
                wanted = sorted(several)
            found.append((data.rfind(b"\n", 0, end - 1) + 1, end, wanted))
        return found

    def _take(self) -> None:
        """Wait for the database; if it cannot be compiled, every line is a candidate, with the same result."""
        try:
            self._database = self._compiling.result()
        except (hyperscan.error, MemoryError) as error:
            _log.error("filters look closely at every line of their log, which is slow: they do not compile: %s", error)
            self._all = EveryLine()


_shared: WeakValueDictionary[tuple[str, ...], BlockScanner] = WeakValueDictionary()


def shared_scanner(fragments: tuple[str, ...], databases: Databases | None = None) -> BlockScanner:
    """Return the scanner for these fragments; logs with the same filters share one, since compiling takes long.

    For one thread: a database has one scratch space.
    """
    scanner = _shared.get(fragments)
    if scanner is None:
        scanner = _shared[fragments] = BlockScanner(fragments, databases)
    return scanner


def _collector(hits: list[tuple[int, int]]) -> Callable[..., None]:
    append = hits.append

    def collect(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
        append((end, number))

    return collect


def is_available() -> bool:
    """Whether Hyperscan is installed."""
    return hyperscan is not None


def can_search(fragment: str, databases: Databases | None = None) -> bool:
    """Whether Hyperscan can compile a fragment; it refuses fragments that are too large."""
    if len(fragment) <= _SURELY_TAKEN:
        return bool(fragment)
    return (databases or Databases()).can_search(f"{fragment}.*\\n".encode())
