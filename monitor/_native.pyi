"""The native extension, built from native/."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

INTERFACE: int

class GaveUp(Exception):  # noqa: N818 - what happened
    """A match took too many steps, or too many places to go back to."""

class Program:
    """A program of the matcher (`monitor.filters.program.compile_program`), which never changes."""

    def __new__(cls, words: bytes) -> Program:
        """Verify and take the words; ValueError if they are no program."""

    def match(self, text: bytes, start: int = 0, max_steps: int = 20_000) -> tuple[int, ...] | None:
        """Match at `start` as `re.Pattern.match(text, start)` does; return start and end of each group, -1: none.

        `text` is ASCII and not empty (ValueError). None: no match. GaveUp: Python must decide.
        """

def wait_quietly(epoll: int, timeout_s: float, look_s: float, watched: Sequence[tuple[int, bytes | int]], /) -> bool:
    """Wait for events of an epoll descriptor, and look each `look_s` at what wakes nobody; return whether it changed.

    `watched` are descriptors of eBPF arrays with the first value as known, at most 64 bytes and as many as the map's
    values have, and those of files with their length. What cannot be read counts as changed, as does a wall clock that
    is set by half a second or more. False: an event came, a signal did, or the time is over.
    """

def unmap_text(ranges: Sequence[tuple[int, int]], /) -> int:
    """Unmap what of these ranges of whole pages is text or constants of a loaded program or library; return its bytes.

    No library is unloaded meanwhile. Other memory is left alone, and what madvise(2) refuses stays.
    """

_ClockTerms: TypeAlias = tuple[float, float, float, float, float]
_Batch: TypeAlias = tuple[int, int | None, int, int, int, int, int, tuple[int, ...]]

class KmsgDecoder:
    """Decodes records of /dev/kmsg as monitor.sources.kmsg does, and shares strings among events."""

    def __new__(cls, packet: type, quoted: type, counts: Callable[[str], bool]) -> KmsgDecoder:
        """Take the types `PacketLogged` and `QuotedPacket`, and what says whether a log prefix counts.

        `counts` is asked once in a while for the same prefix; its answer must not change.
        """

    def decode(
        self, records: list[bytes], start: int, events: list[object], last: int | None, clock: _ClockTerms
    ) -> _Batch:
        """Decode the records from index `start` on, append events of those that count, and return what was found.

        `last` is the sequence number of the last record before, `clock` the terms of a BootClock. The result: index of
        the first record that Python must decode (the number of records if there is none), sequence number of the last
        record, records, records lost, foreign ones, packets, packets excluded, and malformed records by cause.
        """

class Connections:
    """`monitor.filters.connections.Connections` in C; of the values it remembers those that results depend on."""

    def __new__(cls, limit: int = 4096) -> Connections:
        """Start empty; `limit` is the number of connections that are remembered, at most 4,096."""

    @property
    def evicted(self) -> int:
        """Connections forgotten early because there were too many."""

    def __len__(self) -> int:
        """Return the number of remembered connections."""

    def merge(self, identity: str, values: dict[str, str | None], now_s: float) -> dict[str, str | None] | None:
        """Add a line; return all that is known of its connection if the line is a failure, None if it is not."""

    def wait(self, identity: str) -> None:
        """Record a failure whose address is not known yet."""

class Form:
    """A program and what its groups mean (`monitor.filters.forms`), which never changes."""

    def __new__(
        cls,
        program: Program,
        groups: tuple[int, ...],
        alternatives: tuple[tuple[int, int], ...],
        joints: tuple[tuple[bytes, bool], ...],
        fraction: int,
        is_connected: bool,
    ) -> Form:
        """Take the number of the group of each of FIELDS (0: none), and what replaces an empty one (field, group).

        `joints` are the characters before and after ip4, then ip6, and whether each match has one of them there.
        ValueError if the program has no such groups.
        """

class Candidates(Sequence[tuple[int, int, Sequence[int] | None]]):
    """The lines of a block that some expression may match: Hyperscan's matches put together."""

    def __new__(cls, numbers: list[tuple[int, ...]]) -> Candidates:
        """Take the numbers of the expressions of each fragment."""

    def __len__(self) -> int:
        """Return the number of lines."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return a candidate by its index (no slices)."""

    def add(self, number: int, start: int, end: int, flags: int, context: object, /) -> None:
        """Take a match of the fragment with this number, which ends before `end`."""

    def join(self, data: bytes, /) -> None:
        """Find the lines of the matches, once; then this is a sequence of candidates."""

class Finder:
    """Finds fragments in a block of ASCII lines (`monitor.filters.finder`); never changes."""

    def __new__(
        cls,
        classes: bytes,
        width: int,
        table: bytes,
        starts: bytes,
        found: list[tuple[int, ...]],
        programs: list[Program],
        /,
    ) -> Finder:
        """Take an automaton, and the programs of at most 64 fragments; ValueError if the parts do not fit.

        `classes` gives the class of each of 256 bytes, `width` is their number, `table` has the next state (16 bits)
        for each state and class; `starts` is a bitmap of the pairs of bytes with which texts start, `found` the
        fragments whose text ends in each state.
        """

    def search(self, data: bytes, candidates: Candidates, /) -> bool:
        """Add the lines that contain a fragment; False: a line would take too long, and candidates are missing."""

class Confirmation:
    """The candidates of one filter in one block; see `monitor.filters.confirmation`."""

    def __new__(
        cls,
        data: bytes,
        candidates: Sequence[tuple[int, int, Sequence[int] | None]],
        times: Sequence[float],
        is_wrapped: bool,
        event: type,
        detector: str,
        strength: object,
        log: str,
        reason: str,
        read_s: float,
        after_s: float,
        is_live: bool,
        findtime_s: float,
        connections: Connections,
        proven: Connections,
        proves: bool,
        events: list[Any],
    ) -> Confirmation:
        """Take a block (`monitor.model.logs`) and what failures in it have in common; they are appended to `events`."""

    def run(
        self, forms: Sequence[object], known: Mapping[Any, Any] | None, index: int, until_s: float, /
    ) -> tuple[int, bool, int, bool, int, int, int, int, int, int, int, int]:
        """Decide the candidates from this index on, until one must be decided by Python or until `until_s`.

        `forms` (a list) has the form of each expression, if it has one; `known` (a dictionary) the dates that were read
        before, by their text; None: the lines contain no dates. Return: index of the first candidate that is left,
        whether the time was up, number of dates recognised, whether the last one says its zone; then candidates
        decided, failures, unproven, unusable, misdated, outdated, stale; connections forgotten early so far.
        """
