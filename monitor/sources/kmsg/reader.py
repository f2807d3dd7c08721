"""Reader of the kernel log: /dev/kmsg, non-blocking, with every lost record counted."""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from monitor.model.clock import BootClock
from monitor.model.errors import MalformedRecord, PermanentError
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.format import CAUSES, KmsgRecord, decode_packet, is_packet_line, parse_record
from monitor.sources.kmsg.prefixes import LogPrefixes

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RECORD_BYTES = 16384  # the kernel refuses a read that is shorter than the record, at most 8 KiB today


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


class KernelLog:
    """A source of PacketLogged events. Reads from now on, or from a saved sequence number on.

    `prefixes` and `ignore_prefixes` say which log prefixes count (`LogPrefixes`).
    """

    name = "kernel_log"

    def __init__(
        self,
        *,
        after: int | None = None,
        prefixes: Sequence[str] = (),
        ignore_prefixes: Sequence[str] = (),
        path: Path = Path("/dev/kmsg"),
        stats: KernelLogStats | None = None,
    ) -> None:
        """Open the log; PermanentError says what is missing. Totals given as `stats` are counted on."""
        self.stats = stats or KernelLogStats()
        self.sequence = after
        """Sequence number of the last record read, None before the first."""
        self._prefixes = LogPrefixes(prefixes, ignore_prefixes)
        self._clock = BootClock(time.monotonic(), time.time())
        self.is_drained = False
        """Whether the last `read` took all there was."""
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PermanentError(f"cannot read {path}: {error.strerror}; {_remedy(error)}") from error
        try:
            os.lseek(self._descriptor, 0, os.SEEK_END if after is None else os.SEEK_SET)
        except OSError:
            os.close(self._descriptor)
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Close the log."""
        os.close(self._descriptor)

    def read(self, limit: int = 512) -> list[PacketLogged]:
        """Return the events of at most `limit` waiting records; `is_drained` says whether more are waiting."""
        self._clock.observe(time.monotonic(), time.time())
        events = []
        fresh = self.is_drained
        self.is_drained = False
        for _ in range(limit):
            raw = self._read_record()
            if raw is None:
                self.is_drained = True
                break
            if not raw:
                continue
            try:
                record = parse_record(raw)
                if fresh:
                    self._clock.calibrate(record.timestamp_us)
                    fresh = False
                if self._follows(record) and (event := self._decode(record)):
                    events.append(event)
            except MalformedRecord as error:
                self.stats.malformed[error.cause] += 1
        return events

    def _read_record(self) -> bytes | None:
        """Return one raw record, b"" where one was lost, None when none waits."""
        try:
            return os.read(self._descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EPIPE:  # the ring buffer overtook us; the gap in sequence numbers says how many
                self.stats.overruns += 1
                return b""
            raise

    def _follows(self, record: KmsgRecord) -> bool:
        """Count the record and those missing before it; whether it comes after the last one."""
        last = self.sequence
        if last is not None:
            if record.sequence <= last:
                return False
            self.stats.lost += record.sequence - last - 1
        self.sequence = record.sequence
        self.stats.records += 1
        return True

    def _decode(self, record: KmsgRecord) -> PacketLogged | None:
        """Return the packet of this record if it counts as evidence."""
        if record.facility != 0:
            self.stats.foreign += 1
            return None
        if not is_packet_line(record.message):
            return None
        event = decode_packet(record.message, self._clock.wall_s(record.timestamp_us))
        self.stats.packets += 1
        if not self._prefixes.counts(event.prefix):
            self.stats.excluded += 1
            return None
        self.stats.lag_s = max(0.0, time.time() - event.time_s)
        return event


def _remedy(error: OSError) -> str:
    """Say what the operator can do about a log that does not open."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return "run as root or give the capability CAP_SYSLOG, or set sources.kernel_log.enabled: false"
    return "mount /dev with kmsg (in a container: bind /dev/kmsg), or set sources.kernel_log.enabled: false"
