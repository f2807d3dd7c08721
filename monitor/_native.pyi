"""The native extension, built from native/."""

from collections.abc import Callable
from typing import TypeAlias

INTERFACE: int

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
