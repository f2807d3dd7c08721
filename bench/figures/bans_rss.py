"""Memory of the daemon with many bans."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.many_bans import write_bans
from bench.process import memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Lab

_BANS = 100_000
_PREFIXES = 10_000
_LIMIT_MB = 120.0
_SETTLE_S = 3.0
_START_S = 60.0


@benchmark("rss_100k_bans_mb")
def bans_rss() -> Iterator[Figure]:
    """Resident memory of the daemon with 100,000 bans (MB of 10^6 bytes; VmRSS).

    The installed command is started on a node of the lab with a store of 45,000 IPv4 and 45,000 IPv6 addresses and
    10,000 IPv6 /64 prefixes, first without a table (after a reboot), then again with it (a restart). VmRSS is read
    three seconds after it answers; the larger value of both starts counts. The progress output also has the peak
    (VmHWM) and the memory of a daemon without bans. The benchmark fails at 120 MB or more. No peer.
    """
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        empty = Daemon(lab["node"], Path(directory) / "empty")
        _measure(empty, "no bans", 0)
        write_bans(Path(directory) / "full/state", _BANS, prefixes=_PREFIXES)
        full = Daemon(lab["node"], Path(directory) / "full")
        rss_mb = max(_measure(full, kind, _BANS) for kind in ("after a reboot", "after a restart"))
    if rss_mb >= _LIMIT_MB:
        raise BenchmarkError(f"{rss_mb:.1f} MB, expected less than {_LIMIT_MB:.0f}")
    yield Figure("rss_100k_bans_mb", rss_mb, "MB")


def _measure(daemon: Daemon, kind: str, bans: int) -> float:
    """Start the daemon, wait for its bans, return its VmRSS in MB and stop it."""
    process = daemon.launch()
    in_force = f"{bans} bans are in force"
    wait_for(lambda: in_force in daemon.log or process.poll() is not None, in_force, lambda: daemon.log, _START_S)
    wait_for(lambda: daemon.run("status").returncode == 0, "the daemon to answer", lambda: daemon.log)
    time.sleep(_SETTLE_S)
    rss_mb, peak_mb = (memory_mb(daemon.pid, field) for field in ("VmRSS", "VmHWM"))
    daemon.stop()
    daemon.log_path.unlink()
    progress(f"{kind}: {rss_mb:.1f} MB, at most {peak_mb:.1f} MB")
    return rss_mb
