"""The process_* metrics that every exporter has, of this process (proc(5))."""

import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from monitor.metrics.exposition import Family, Point
from monitor.metrics.metric import Kind

_STAT = Path("/proc/stat")
_MOVED_S = 0.5
"""The kernel derives the time of its boot from the wall clock: it is another one once that was set."""
_STAT_BYTES = 1024


class ProcessFamilies:
    """Reads what there is to know of this process; the time of the boot is kept until the clock is set."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """Read nothing yet; `wall` is wall time, in seconds."""
        self._wall = wall
        self._booted_s = 0.0
        self._offset_s = float("-inf")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read(self) -> list[Family]:
        """Return memory, start, CPU time and descriptors; what the kernel does not show is left out."""
        families = []
        for read in (self._usage, _descriptors):
            with contextlib.suppress(OSError, LookupError, ValueError, StopIteration):
                families += read()
        return families

    def _boot_s(self) -> float:
        """Return when the kernel was started; /proc/stat, which has a column for each interrupt, is read seldom."""
        offset_s = self._wall() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if abs(offset_s - self._offset_s) > _MOVED_S:
            lines = _STAT.read_text().splitlines()
            self._booted_s = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
            self._offset_s = offset_s
        return self._booted_s

    def _usage(self) -> list[Family]:
        fields = _read("/proc/self/stat").rpartition(b")")[2].split()  # the name before it may hold anything
        return [
            _gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", int(fields[20])),
            _gauge(
                "process_resident_memory_bytes", "Resident memory size in bytes.", int(fields[21]) * self._page_bytes
            ),
            _gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                int(fields[19]) / self._ticks + self._boot_s(),
            ),
            Family(
                "process_cpu_seconds",
                Kind.COUNTER,
                "Total user and system CPU time spent in seconds.",
                [Point("_total", {}, int(fields[11]) / self._ticks + int(fields[12]) / self._ticks)],
            ),
        ]


def _descriptors() -> list[Family]:
    """Return how many there are: from Linux 6.2 on the size of the directory, which is 0 before."""
    count = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH116, PTH208 - quicker
    return [
        _gauge("process_open_fds", "Number of open file descriptors.", count),
        _gauge(
            "process_max_fds", "Maximum number of open file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        ),
    ]


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(name, Kind.GAUGE, text, [Point("", {}, value)])
