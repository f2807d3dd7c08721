"""Runs `bench.log_scan`, which matches a log as the daemon does, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import msgspec

from bench.registry import BenchmarkError


class ScanRun(msgspec.Struct):
    """The output of `bench.log_scan`."""

    lines: int
    failures: int
    first_s: float
    cpu_s: float
    peak_mb: float

    @property
    def lines_per_s(self) -> float:
        """Lines per CPU second, without compiling."""
        return self.lines / self.cpu_s


def scan(log: Path, copies: int = 0, reference: str = "sshd") -> ScanRun:
    """Match a log in a process of its own with a filter, and with `copies` further ones."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.log_scan", log, reference, str(copies)],
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise BenchmarkError(f"bench.log_scan failed: {done.stderr[-500:]}")
    return msgspec.json.decode(done.stdout, type=ScanRun)
