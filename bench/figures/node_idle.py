"""The cost of the daemon on an idle node."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.process import cpu_s, memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.installed import install
from tests.support.lab import Lab
from tests.support.node import UNIT, Node

_MEASURE_S = 300.0
_SETTLE_S = 10.0
_SCRAPE_EVERY_S = 15.0
_LIMIT_PERCENT = 0.5
_LIMIT_MB = 60.0


@benchmark("idle_cpu_percent", "idle_rss_mb")
def node_idle() -> Iterator[Figure]:
    """CPU (percent of one core) and resident memory (MB of 10^6 bytes) on an idle node, over five minutes.

    nodewarden is installed by `make install` in a booted Debian 12 and runs as its unit: separate user, sandbox, all
    sources enabled (kernel log, conntrack, drops, XDP, journal, files), all detectors, enforcing, scraped every 15 s.
    User and system time of the process are read ten seconds after all sources are up, and again five minutes later;
    VmRSS is the maximum of all scrapes. Kernel log and dropped packets are those of the whole machine, including other
    programs. The benchmark fails at 0.5 % or 60 MB. No peer.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        Lab("node", "attacker", "neighbour", label="bench") as lab,
        Node(lab, install(Path(directory) / "layer")) as node,
    ):
        node.configure("bans: {xdp: {interfaces: [eth0]}}\n")
        node.restart()
        down = [source["name"] for source in node.settled()["sources"] if source["state"] != "up"]
        if down:
            raise BenchmarkError(f"these sources are not up: {', '.join(down)}\n{node.log(UNIT)}")
        time.sleep(_SETTLE_S)
        percent, rss_mb = _measure(node)
    if percent >= _LIMIT_PERCENT or rss_mb >= _LIMIT_MB:
        raise BenchmarkError(f"{percent:.2f} % and {rss_mb:.1f} MB")
    yield Figure("idle_cpu_percent", percent, "%")
    yield Figure("idle_rss_mb", rss_mb, "MB")


def _measure(node: Node) -> tuple[float, float]:
    """Return the percentage of a core and the maximum VmRSS in MB."""
    pid = node.main_pid(UNIT)
    began_s, before_s, rss_mb = time.monotonic(), cpu_s(pid), 0.0
    while (left_s := began_s + _MEASURE_S - time.monotonic()) > 0:
        time.sleep(min(_SCRAPE_EVERY_S, left_s))
        node.host.run("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:9843/metrics")
        rss_mb = max(rss_mb, memory_mb(pid, "VmRSS"))
        used_s, past_s = cpu_s(pid) - before_s, time.monotonic() - began_s
        progress(f"{past_s:.0f} s: {100 * used_s / past_s:.2f} %, {rss_mb:.1f} MB")
    return 100 * (cpu_s(pid) - before_s) / (time.monotonic() - began_s), rss_mb
