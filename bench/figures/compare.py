"""Comparison of two configurations over a recorded day of ten million events."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.process import memory_mb
from bench.recorded_day import DAY_S, write_day
from bench.registry import BenchmarkError, Figure, benchmark, progress

_NODEWARDEN = Path(sys.executable).with_name("nodewarden")
_EVENTS = 10_000_000
_NEW = "detectors: {port_scan: {maxretry: 8}, failures: {sshd: {filter: sshd, maxretry: 3}}}\n"


@benchmark("compare_10m_events_s", "compare_peak_mb")
def compare() -> Iterator[Figure]:
    """Measure `nodewarden compare` over a day of ten million events, as recorded against lower thresholds.

    The day is that of `bench/recorded_day.py`: a third of the events are logged packets and incomplete attempts, the
    others are messages about connections of clients. All detectors of the default settings run, on both sides at once.
    Memory is that of both processes together, each at its peak. No peer.
    """
    yield from measure(DAY_S)


def measure(count_s: int) -> Iterator[Figure]:
    """Measure over a recording of this many seconds; the time is scaled to ten million events."""
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory = Path(name)
        recording, config = directory / "day.recording", directory / "nodewarden.yaml"
        events = write_day(recording, count_s)
        progress(f"{events:,} events in {recording.stat().st_size / events:.1f} bytes each")
        config.write_text(_NEW + f"state: {{directory: {directory}}}\n")
        command = [str(_NODEWARDEN), "compare", "--config", str(config), "--recording", str(recording), "--json"]
        started_s = time.monotonic()
        with (directory / "answer.json").open("w+b") as answer, subprocess.Popen(command, stdout=answer) as process:
            peaks = _watch(process)
            output = (directory / "answer.json").read_bytes()
        taken_s = time.monotonic() - started_s
        if process.returncode or len(peaks) != 2 or b'"added"' not in output:
            raise BenchmarkError(f"exit code {process.returncode}, {len(peaks)} processes, {output[:200]!r}")
    yield Figure("compare_10m_events_s", taken_s * _EVENTS / events, "s")
    yield Figure("compare_peak_mb", sum(peaks.values()), "MB")


def _watch(process: subprocess.Popen[bytes]) -> dict[int, float]:
    """Return the highest memory of a process and its child, in MB, until it ends."""
    peaks: dict[int, float] = {}
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        try:
            pids = [process.pid, *map(int, children.read_text().split())]
            peaks |= {pid: memory_mb(pid, "VmHWM") for pid in pids}
        except (OSError, IndexError):  # one of them has ended, or is a zombie without memory
            pass
        time.sleep(0.05)
    return peaks
