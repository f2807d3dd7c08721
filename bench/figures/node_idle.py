"""The cost of the daemon on an idle node, compared with peers."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.peers import servers
from bench.process import cpu_s, memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.installed import install
from tests.support.lab import Lab
from tests.support.node import UNIT, Node

_MEASURE_S = 300.0
_SETTLE_S = 10.0
_SCRAPE_EVERY_S = 15.0
_LIMIT_PERCENT, _LIMIT_RATIO = 0.15, 2.0
_LIMIT_MB = 39.0


@benchmark("idle_cpu_percent", "idle_rss_mb")
def node_idle() -> Iterator[Figure]:
    """CPU (percent of one core) and resident memory (MB of 10^6 bytes) on an idle node, over five minutes.

    nodewarden is installed by `make install` in a booted Debian 12 and runs as its unit: separate user, sandbox, all
    sources enabled (kernel log, conntrack, drops, XDP, journal, files), all detectors, enforcing, scraped every 15 s.
    User and system time of the process are read ten seconds after all sources are up, and again five minutes later;
    VmRSS is the maximum of all scrapes. Kernel log and dropped packets are those of the whole machine, including other
    programs. Peers run at the same time on another node of the lab and watch one log of sshd that stays empty, nothing
    else: fail2ban with inotify, CrowdSec with its LAPI and its bouncer, which asks each second, and sshguard; all
    processes of a peer together, VmRSS at the end.

    The benchmark fails at 39 MB, and at 0.15 % if that is twice as much as fail2ban takes, too: a host that takes back
    memory that was not used for a second makes each look many times as expensive, for all.

    VmRSS has pages of programs and libraries that stay in the page cache anyway, and that nodewarden unmaps after its
    start. The progress output has RssAnon as well, memory that nobody else can use.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as name,
        Lab("node", "attacker", "neighbour", "peers", label="bench") as lab,
        Node(lab, install(Path(name) / "layer")) as node,
        ExitStack() as stack,
    ):
        peers = {}
        for peer in servers.available():
            log = Path(name) / f"{peer}.log"
            log.touch()
            running = servers.running(peer, lab["peers"], Path(name) / peer, [log], bans=True)
            peers[peer] = stack.enter_context(running)
        node.configure("bans: {xdp: {interfaces: [eth0]}}\n")
        node.restart()
        down = [source["name"] for source in node.settled()["sources"] if source["state"] != "up"]
        if down:
            raise BenchmarkError(f"these sources are not up: {', '.join(down)}\n{node.log(UNIT)}")
        time.sleep(_SETTLE_S)
        percent, rss_mb, percents = _measure(node, peers)
        sizes = {peer: servers.used_mb(server, "VmRSS") for peer, server in peers.items()}
        own = {peer: servers.used_mb(server, "RssAnon") for peer, server in peers.items()}
        progress(
            "; ".join(
                f"{peer} {percents[peer]:.3f} %, {size:.1f} MB, anonymous {own[peer]:.1f} MB"
                for peer, size in sizes.items()
            )
        )
    limit_percent = max(_LIMIT_PERCENT, _LIMIT_RATIO * percents.get("fail2ban", 0.0))
    if percent >= limit_percent or rss_mb >= _LIMIT_MB:
        raise BenchmarkError(f"{percent:.2f} % and {rss_mb:.1f} MB")
    for figure, value, unit, theirs in (
        ("idle_cpu_percent", percent, "%", percents),
        ("idle_rss_mb", rss_mb, "MB", sizes),
    ):
        yield Figure.with_peers(figure, value, unit, {peer: theirs.get(peer) for peer in servers.NAMES})


def _measure(node: Node, peers: Mapping[str, servers.Server]) -> tuple[float, float, dict[str, float]]:
    """Return our percentage of a core, our maximum VmRSS in MB, and the percentages of the peers."""
    pid = node.main_pid(UNIT)
    began_s, before_s, rss_mb = time.monotonic(), cpu_s(pid), 0.0
    peers_before_s = {peer: servers.used_s(server) for peer, server in peers.items()}
    while (left_s := began_s + _MEASURE_S - time.monotonic()) > 0:
        time.sleep(min(_SCRAPE_EVERY_S, left_s))
        node.host.run("curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:9843/metrics")
        rss_mb = max(rss_mb, memory_mb(pid, "VmRSS"))
        used_s, past_s = cpu_s(pid) - before_s, time.monotonic() - began_s
        own_mb = memory_mb(pid, "RssAnon")
        progress(f"{past_s:.0f} s: {100 * used_s / past_s:.2f} %, {rss_mb:.1f} MB, anonymous {own_mb:.1f} MB")
    past_s = time.monotonic() - began_s
    percents = {peer: 100 * (servers.used_s(server) - peers_before_s[peer]) / past_s for peer, server in peers.items()}
    return 100 * (cpu_s(pid) - before_s) / past_s, rss_mb, percents
