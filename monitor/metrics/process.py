"""The process_* metrics that every exporter has, of this process (proc(5))."""

import contextlib
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from monitor.metrics.metric import COUNTER, GAUGE, Metric, Sample

_MEMORY = Metric("process_virtual_memory_bytes", GAUGE, "Virtual memory size in bytes.")
_RESIDENT = Metric("process_resident_memory_bytes", GAUGE, "Resident memory size in bytes.")
_START = Metric("process_start_time_seconds", GAUGE, "Start time of the process since unix epoch in seconds.")
_CPU = Metric("process_cpu_seconds_total", COUNTER, "Total user and system CPU time spent in seconds.")
_OPEN = Metric("process_open_fds", GAUGE, "Number of open file descriptors.")
_MOST_OPEN = Metric("process_max_fds", GAUGE, "Maximum number of open file descriptors.")
PROCESS_METRICS = (_MEMORY, _RESIDENT, _START, _CPU, _OPEN, _MOST_OPEN)
_STAT = Path("/proc/stat")
_MOVED_S = 0.5
"""The kernel derives the time of its boot from the wall clock: it is another one once that was set."""
_STAT_BYTES = 1024


class ProcessSamples:
    """Reads what there is to know of this process; the time of the boot is kept until the clock is set."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """Read nothing yet; `wall` is wall time, in seconds."""
        self._wall = wall
        self._booted_s = 0.0
        self._offset_s = float("-inf")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read(self) -> list[Sample]:
        """Return memory, start, CPU time and descriptors; what the kernel does not show is left out."""
        found: list[Sample] = []
        for read in (self._usage, _descriptors):
            with contextlib.suppress(OSError, LookupError, ValueError, StopIteration):
                found += read()
        return found

    def _boot_s(self) -> float:
        """Return when the kernel was started; /proc/stat, which has a column for each interrupt, is read seldom."""
        offset_s = self._wall() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if abs(offset_s - self._offset_s) > _MOVED_S:
            lines = _STAT.read_text().splitlines()
            self._booted_s = next(float(line.split()[1]) for line in lines if line.startswith("btime "))
            self._offset_s = offset_s
        return self._booted_s

    def _usage(self) -> list[Sample]:
        fields = _read("/proc/self/stat").rpartition(b")")[2].split()  # the name before it may hold anything
        return [
            (_MEMORY.name, (), int(fields[20])),
            (_RESIDENT.name, (), int(fields[21]) * self._page_bytes),
            (_START.name, (), int(fields[19]) / self._ticks + self._boot_s()),
            (_CPU.name, (), int(fields[11]) / self._ticks + int(fields[12]) / self._ticks),
        ]


def _descriptors() -> list[Sample]:
    """Return how many there are: from Linux 6.2 on the size of the directory, which is 0 before."""
    count = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH116, PTH208 - quicker
    return [(_OPEN.name, (), count), (_MOST_OPEN.name, (), resource.getrlimit(resource.RLIMIT_NOFILE)[0])]


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)
