"""Memory of the daemon under a flood of forged sources."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon
from tests.support.firewall import counting_only
from tests.support.lab import Lab

_HALF, _ALL = 500_000, 1_000_000
_MILESTONES = (1000, 100_000, 250_000, _HALF, 750_000, _ALL)
_LIMIT_MB = 80.0
_MAX_GROWTH_MB = 2.0
_TIMEOUT_S = 600


@benchmark("window_rss_mb", "window_rss_growth_mb")
def window_rss() -> Iterator[Figure]:
    """Resident memory after 1,000,000 distinct sources, and its growth since the 500,000th (MB of 10^6 bytes; VmRSS).

    Instead of the installed command, a process builds, opens and runs the daemon's Service on a node of the lab (so
    kernel log, table, metrics and control socket are open) and feeds its pipeline 2.3 million decoded lines in batches
    of 512, IPv4 and IPv6, one to nine items per source. The real kernel log would lose some of these lines, and the
    daemon refuses lines that user space writes there. No source is banned: the benchmark measures the windows.
    It fails at 80 MB or more, or if the second half of the sources adds more than 2 MB. No peer.
    """
    rss_mb = dict(_feed())
    growth_mb = rss_mb[_ALL] - rss_mb[_HALF]
    if rss_mb[_ALL] >= _LIMIT_MB or growth_mb > _MAX_GROWTH_MB:
        raise BenchmarkError(
            f"{rss_mb[_ALL]:.1f} MB (expected less than {_LIMIT_MB:.0f}), {growth_mb:+.2f} MB in the second half "
            f"(expected at most {_MAX_GROWTH_MB:.0f})"
        )
    yield Figure("window_rss_mb", rss_mb[_ALL], "MB")
    yield Figure("window_rss_growth_mb", growth_mb, "MB")


def _feed() -> Iterator[tuple[int, float]]:
    """Run the process; yield number of sources and resident memory in MB at each milestone."""
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        prefix = f"nw-bench-{os.getpid()}: "
        daemon = Daemon(lab["node"], Path(directory), counting_only(prefix))
        done = lab["node"].run(
            sys.executable,
            "-m",
            "bench.window_feed",
            daemon.configuration_path,
            *map(str, _MILESTONES),
            timeout_s=_TIMEOUT_S,
        )
    for line in done.stdout.splitlines():
        sources, rss_kib, entries = line.split(maxsplit=2)
        progress(f"{int(sources):>9,} sources: {int(rss_kib) * 1024 / 1e6:.2f} MB, pairs remembered {entries}")
        yield int(sources), int(rss_kib) * 1024 / 1e6
