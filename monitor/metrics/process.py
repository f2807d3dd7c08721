"""The process_* metrics that every exporter has, of this process (proc(5))."""

import contextlib
import os
from pathlib import Path

from monitor.metrics.exposition import Family, Point
from monitor.metrics.metric import Kind

_SELF = Path("/proc/self")
_STAT = Path("/proc/stat")


def process_families() -> list[Family]:
    """Return memory, start, CPU time and descriptors; what the kernel does not show is left out."""
    families = []
    for read in (_usage, _descriptors):
        with contextlib.suppress(OSError, LookupError, ValueError, StopIteration):
            families += read()
    return families


def _usage() -> list[Family]:
    booted_s = next(float(line.split()[1]) for line in _STAT.read_text().splitlines() if line.startswith("btime "))
    fields = (_SELF / "stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
    ticks, page_bytes = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu_s = int(fields[11]) / ticks + int(fields[12]) / ticks
    return [
        _gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", int(fields[20])),
        _gauge("process_resident_memory_bytes", "Resident memory size in bytes.", int(fields[21]) * page_bytes),
        _gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            int(fields[19]) / ticks + booted_s,
        ),
        Family(
            "process_cpu_seconds",
            Kind.COUNTER,
            "Total user and system CPU time spent in seconds.",
            [Point("_total", {}, cpu_s)],
        ),
    ]


def _descriptors() -> list[Family]:
    limits = (_SELF / "limits").read_text().splitlines()
    most = next(float(line.split()[3]) for line in limits if line.startswith("Max open files"))
    count = sum(1 for _ in (_SELF / "fd").iterdir())
    return [
        _gauge("process_open_fds", "Number of open file descriptors.", count),
        _gauge("process_max_fds", "Maximum number of open file descriptors.", most),
    ]


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(name, Kind.GAUGE, text, [Point("", {}, value)])
