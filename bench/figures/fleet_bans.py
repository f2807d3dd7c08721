"""How soon a ban of one node is in the kernels of the others, one by one and in a burst."""

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.fleet.watch import KernelWatch
from bench.offenders import percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.fleet_site import FleetSite

_NODES = 10
_OFFENDERS = 100
_PAUSE_S = (0.35, 0.45)
"""Longer than what ten nodes do after a ban, which one node does alone: store, log, cut connections."""
_TIMEOUT_S = 10.0
_BURST = 10_000
_BURST_S = 60.0
_SETTLE_S = 2.0


@benchmark("fleet_ban_p50_ms", "fleet_ban_p99_ms", "fleet_burst_10k_s")
def fleet_bans() -> Iterator[Figure]:
    """Ten real daemons in namespaces and a real redis-server on one switch, all on this machine.

    `fleet_ban_p50_ms`, `fleet_ban_p99_ms`: from the kernel's notification of the new element on the node that was
    attacked, which comes a fraction of a millisecond after the decision, to that on each other node. The attack is one
    line in the log of sshd (maxretry 1); 100 offenders, 350 to 450 ms apart, since ten
    daemons share two cores. The median over all nodes, and the 99th
    percentile of the worst node. `fleet_burst_10k_s`: 10,000 such lines at once; from the write to 10,000 bans
    in force on all nodes, as each says four times a second; then their kernels are listed. No peer.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        FleetSite(Path(directory), _NODES, maxretry=1, per_minute=100_000) as site,
    ):
        site.start_daemons()
        time.sleep(_SETTLE_S)
        with KernelWatch([one.host for one in site.members]) as watch:
            by_node = _one_by_one(site, watch)
        worst = max(percentiles(latencies)[1] for latencies in by_node)
        p50 = median(latency for latencies in by_node for latency in latencies)
        progress(f"one by one: p50 {p50:.2f} ms, worst p99 {worst:.2f} ms, max {max(map(max, by_node)):.2f} ms")
        yield Figure("fleet_ban_p50_ms", p50, "ms")
        yield Figure("fleet_ban_p99_ms", worst, "ms")
        yield Figure("fleet_burst_10k_s", _burst(site), "s")


def _one_by_one(site: FleetSite, watch: KernelWatch) -> list[list[float]]:
    """Return the latencies of each node but the first, in milliseconds."""
    pause = random.Random(19)
    by_node: list[list[float]] = [[] for _ in site.members[1:]]
    for number in range(_OFFENDERS):
        address = f"198.18.0.{number + 1}"
        site.members[0].attacked_by(address)
        first_s, *others_s = watch.wait_for(address, _TIMEOUT_S)
        for latencies, other_s in zip(by_node, others_s, strict=True):
            latencies.append((other_s - first_s) * 1e3)
        time.sleep(pause.uniform(*_PAUSE_S))
    return by_node


def _burst(site: FleetSite) -> float:
    """Return how long it took until all nodes held all of a burst."""
    addresses = [f"198.19.{number >> 8}.{number & 255}" for number in range(_BURST)]
    start_s = site.members[0].attacked_by(*addresses)
    waiting = list(site.members)
    while waiting:
        if (passed_s := time.monotonic() - start_s) > _BURST_S:
            raise BenchmarkError(f"the burst is not everywhere after {passed_s:.0f} s: {len(waiting)} nodes lack some")
        time.sleep(0.25)
        waiting = [one for one in waiting if one.daemon.ask("status")["bans"]["ban"] < _BURST + _OFFENDERS]
    took_s = time.monotonic() - start_s
    held = [len(one.kernel()) for one in site.members]
    if set(held) != {_BURST + _OFFENDERS}:
        raise BenchmarkError(f"the kernels hold {held} bans")
    return took_s
