"""Finds the lines of a block that at least one expression may match, in one pass over the block."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast
from weakref import WeakValueDictionary

from monitor.filters.databases import Databases, hyperscan
from monitor.filters.finder import make_finder
from monitor.native import extension

if TYPE_CHECKING:
    from monitor._native import Finder

_log = logging.getLogger(__name__)

_DENSE_BYTES = 1024
"""A block with more than one candidate in so many bytes is part of an attack, or of a log of nothing but failures."""
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

    def search(self, data: bytes) -> Sequence[Candidate]:
        """Return the candidates in the order of the lines; `data` consists of whole lines."""
        ...


class EveryLine:
    """Treats every line as a candidate for every expression."""

    is_ready = True

    def search(self, data: bytes) -> Sequence[Candidate]:
        """Return every line."""
        return self.candidates(data)

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
        self._fragments = tuple(by_text)
        self._finder: Finder | None = None
        self._has_finder = False
        """Whether it was tried to make one: only an attack needs it."""
        self._is_dense = False

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

    def search(self, data: bytes) -> Sequence[Candidate]:
        """Return what `candidates` returns, put together by the native extension if it is there."""
        if self._database is None and self._all is None:
            self._take()
        if extension is None or self._all:
            return self.candidates(data)
        joined = extension.Candidates(self._numbers)
        finder = self._finder_for(data)
        has_given_up = finder is not None and not finder.search(data, joined)
        if has_given_up:
            joined = extension.Candidates(self._numbers)
        if finder is None or has_given_up:
            self._database.scan(data, match_event_handler=joined.add)
        joined.join(data)
        # Where lines are made to take long, every other block at most is searched twice.
        self._is_dense = not has_given_up and len(joined) * _DENSE_BYTES > len(data)
        return cast("Sequence[Candidate]", joined)

    def _finder_for(self, data: bytes) -> "Finder | None":
        """Return the finder if the last block had so many candidates that it is quicker, and it can read this one."""
        if not self._is_dense or not data.isascii():
            return None
        if not self._has_finder:
            self._has_finder = True
            self._finder = make_finder(self._fragments)
        return self._finder

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
