"""From raw records of the kernel log to the packets that count as evidence, and what is counted on the way.

The native extension decodes a batch in one call. It stops at a record that it leaves to Python: one with a header or a
quoted packet that the kernel would not write, or with bytes that are not ASCII. Without it, Python decodes all of them.
"""

import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import msgspec

from monitor import native
from monitor.model.clock import BootClock
from monitor.model.errors import MalformedRecord
from monitor.model.events import PacketLogged, QuotedPacket
from monitor.sources.kmsg.format import CAUSES, KmsgRecord, decode_packet, is_packet_line, parse_record
from monitor.sources.kmsg.prefixes import LogPrefixes


class KernelLogStats(msgspec.Struct):
    """What the source counted; all totals but `lag_s`."""

    records: int = 0
    packets: int = 0
    lost: int = 0
    """Records known to be lost: overwritten before they were read."""
    overruns: int = 0
    """Times the reader fell behind the ring buffer (EPIPE)."""
    foreign: int = 0
    """Records that user space wrote (facility not 0): never evidence."""
    excluded: int = 0
    """Packet lines whose log prefix the configuration does not count."""
    malformed: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    lag_s: float = 0.0
    """Age of the last packet line when it was read, in seconds."""


class RecordDecoder:
    """Decodes batches of records in the order of their sequence numbers."""

    def __init__(
        self,
        stats: KernelLogStats,
        clock: BootClock,
        prefixes: LogPrefixes,
        *,
        after: int | None = None,
        extension: ModuleType | None = native.extension,
    ) -> None:
        """Count in `stats`; take records after this sequence number only. `extension`: the native one or None."""
        self.sequence = after
        """Sequence number of the last record taken, None before the first."""
        self._stats = stats
        self._clock = clock
        self._prefixes = prefixes
        self._native: Any = extension and extension.KmsgDecoder(PacketLogged, QuotedPacket, prefixes.counts)

    def decode(self, records: list[bytes], *, is_fresh: bool = False) -> list[PacketLogged]:
        """Return the events of raw records as read. `is_fresh`: the first was written just now."""
        if is_fresh:
            self._calibrate(records)
        events: list[PacketLogged] = []
        at = 0
        while at < len(records):
            if self._native:
                at = self._decode_natively(records, at, events)
            if at < len(records):
                self._decode_one(records[at], events)
                at += 1
        if events:
            self._stats.lag_s = max(0.0, time.time() - events[-1].time_s)
        return events

    def _calibrate(self, records: Sequence[bytes]) -> None:
        """Show the clock the first record that is one."""
        for raw in records:
            try:
                record = parse_record(raw)
            except MalformedRecord:
                continue  # counted when it is decoded
            self._clock.calibrate(record.timestamp_us)
            return

    def _decode_natively(self, records: list[bytes], at: int, events: list[PacketLogged]) -> int:
        """Decode records from `at` on; return where the extension stopped."""
        stats = self._stats
        at, self.sequence, number, lost, foreign, packets, excluded, malformed = self._native.decode(
            records, at, events, self.sequence, self._clock.terms()
        )
        stats.records += number
        stats.lost += lost
        stats.foreign += foreign
        stats.packets += packets
        stats.excluded += excluded
        for cause, count in zip(CAUSES, malformed, strict=True):
            stats.malformed[cause] += count
        return at

    def _decode_one(self, raw: bytes, events: list[PacketLogged]) -> None:
        try:
            record = parse_record(raw)
            if self._follows(record) and (event := self._packet(record)):
                events.append(event)
        except MalformedRecord as error:
            self._stats.malformed[error.cause] += 1

    def _follows(self, record: KmsgRecord) -> bool:
        """Count the record and those missing before it; whether it comes after the last one."""
        last = self.sequence
        if last is not None:
            if record.sequence <= last:
                return False
            self._stats.lost += record.sequence - last - 1
        self.sequence = record.sequence
        self._stats.records += 1
        return True

    def _packet(self, record: KmsgRecord) -> PacketLogged | None:
        """Return the packet of this record if it counts as evidence."""
        if record.facility != 0:
            self._stats.foreign += 1
            return None
        if not is_packet_line(record.message):
            return None
        event = decode_packet(record.message, self._clock.wall_s(record.timestamp_us))
        self._stats.packets += 1
        if not self._prefixes.counts(event.prefix):
            self._stats.excluded += 1
            return None
        return event
