"""The native extension, built from native/."""

from collections.abc import Callable
from typing import TypeAlias

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
