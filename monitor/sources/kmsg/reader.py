"""Reader of the kernel log: /dev/kmsg, non-blocking, with every lost record counted."""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from monitor.model.clock import BootClock
from monitor.model.errors import PermanentError
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.prefixes import LogPrefixes

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_RECORD_BYTES = 16384  # the kernel refuses a read that is shorter than the record, at most 8 KiB today


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
        self._clock = BootClock(time.monotonic(), time.time())
        self._decoder = RecordDecoder(self.stats, self._clock, LogPrefixes(prefixes, ignore_prefixes), after=after)
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

    @property
    def sequence(self) -> int | None:
        """Sequence number of the last record read, None before the first."""
        return self._decoder.sequence

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Close the log."""
        os.close(self._descriptor)

    def read(self, limit: int = 512) -> list[PacketLogged]:
        """Return the events of at most `limit` waiting records; `is_drained` says whether more are waiting."""
        self._clock.observe(time.monotonic(), time.time())
        is_fresh = self.is_drained
        return self._decoder.decode(self._read_records(limit), is_fresh=is_fresh)

    def _read_records(self, limit: int) -> list[bytes]:
        """Return raw records that wait. A system call each; the kernel spends 1 µs in it, Python 0.1."""
        records = []
        self.is_drained = False
        for _ in range(limit):
            try:
                if raw := os.read(self._descriptor, _RECORD_BYTES):
                    records.append(raw)
            except BlockingIOError:
                self.is_drained = True
                break
            except OSError as error:
                if error.errno != errno.EPIPE:
                    raise
                self.stats.overruns += 1  # the ring buffer overtook us; the gap in sequence numbers says how many
        return records


def _remedy(error: OSError) -> str:
    """Say what the operator can do about a log that does not open."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return "run as root or give the capability CAP_SYSLOG, or set sources.kernel_log.enabled: false"
    return "mount /dev with kmsg (in a container: bind /dev/kmsg), or set sources.kernel_log.enabled: false"
