"""Time to restart with more bans than a listing can take."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.many_bans import write_bans
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon
from tests.support.lab import Lab

_SIZES = {"restart_400k_s": 400_000, "restart_1m_s": 1_000_000}
_ROOM = "bans: {max_bans: 1048576}\n"


@benchmark(*_SIZES)
def restart_large() -> Iterator[Figure]:
    """Start the daemon with 400,000 and with 1,000,000 bans of single addresses, all in the kernel (seconds).

    Measured as `restart_100k_s` is, once each: `Service.open`, with the table of an earlier start. No peer.
    """
    for name, bans in _SIZES.items():
        with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
            write_bans(Path(directory) / "state", bans)
            daemon = Daemon(lab["node"], Path(directory), _ROOM)
            restore_s, restart_s = _start_s(lab, daemon, bans), _start_s(lab, daemon, bans)
            progress(f"{bans} bans: {restore_s:.2f} s without a table, {restart_s:.2f} s with one")
            yield Figure(name, restart_s, "s")


def _start_s(lab: Lab, daemon: Daemon, bans: int) -> float:
    done = lab["node"].run(sys.executable, "-m", "bench.start_run", daemon.configuration_path, timeout_s=900)
    took_s, in_force, held = done.stdout.split()
    if (int(in_force), int(held)) != (bans, bans):
        raise BenchmarkError(f"{in_force} bans in the ledger, {held} in the kernel, expected {bans}\n{done.stderr}")
    return float(took_s)
