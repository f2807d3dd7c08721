"""The cost of counting dropped packets: time per packet, memory, start."""

import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.offenders import mac
from bench.packets import udp_frame
from bench.peers import bcc_drops
from bench.process import memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.ebpf.maps import count_runs
from monitor.model.addresses import parse_address
from monitor.sources.drops.reader import DropCounters
from monitor.sources.drops.settings import DropCounting, DropsSettings
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

_ROUNDS = 5
_FEW, _MANY = 100, 100_000
_PACKETS = 100_000
_SETTLE_S = 3.0
_RULE = "table inet f { chain i { type filter hook input priority 0; udp dport 9 drop; }; }"
_CONFIGURATION = "sources: {{kernel_log: {{enabled: false}}, drops: {{enabled: {enabled}}}}}\n"


@benchmark("drop_probe_ns", "drop_probe_flood_ns", "drop_probe_record_ns", "drop_probe_lru_ns", "drop_probe_empty_ns")
def drop_probe() -> Iterator[Figure]:
    """Drop 100,000 packets by a rule in input and read the program's time per packet (ns, BPF_ENABLE_STATS).

    `drop_probe_ns`: of 100 sources. `drop_probe_flood_ns`: of 100,000 sources with one packet each. For comparison,
    programs of bcc on the same tracepoint: one record per packet as in tcpdrop (`record`, also the peer of the first),
    an LRU hash by source (`lru`, under the flood, also the peer of the second), and an empty program (`empty`), whose
    time is the overhead of the measurement in each figure. Medians over interleaved rounds.
    """
    results: dict[str, list[float]] = {name: [] for name in ("ours", "flood", "record", "lru", "empty")}
    with Lab("node", "outside", label="bench") as lab:
        lab["node"].nft(_RULE)
        few = [parse_address(f"198.51.100.{number}") for number in range(1, _FEW + 1)]
        many = [random.Random(5).randbytes(4) for _ in range(_MANY)]
        for number in range(_ROUNDS):
            with _ours(lab["node"]) as (read, turn):
                results["ours"].append(_measure(lab, few, read))
                turn()
                results["flood"].append(_measure(lab, many, read))
            for name, sources in (("record", few), ("lru", many), ("empty", few)):
                with bcc_drops.attached(name) as read:
                    results[name].append(_measure(lab, sources, read))
            shown = ", ".join(f"{name} {values[-1]:.0f}" for name, values in results.items())
            progress(f"round {number + 1}/{_ROUNDS}: {shown} ns")
    middle = {name: median(values) for name, values in results.items()}
    yield Figure.with_peer("drop_probe_ns", middle["ours"], "ns", middle["record"])
    yield Figure.with_peer("drop_probe_flood_ns", middle["flood"], "ns", middle["lru"])
    for name in ("record", "lru", "empty"):
        yield Figure(f"drop_probe_{name}_ns", middle[name], "ns")


@benchmark("ebpf_rss_delta_mb", "ebpf_start_ms")
def ebpf_cost() -> Iterator[Figure]:
    """Compare the daemon with and without counting drops: resident memory (VmRSS, MB of 10^6 bytes), time to attach.

    `ebpf_start_ms`: from the call to the attached program, including the compiler. Peer for the memory: the same
    program compiled by bcc inside the process. Medians over rounds.
    """
    deltas, starts, peers = [], [], []
    with Lab("node", label="bench") as lab:
        for number in range(3):
            sizes = [_daemon_mb(lab["node"], enabled=enabled) for enabled in (False, True)]
            deltas.append(sizes[1] - sizes[0])
            begun_s = time.monotonic()
            DropCounters(DropCounting(DropsSettings())).close()
            starts.append((time.monotonic() - begun_s) * 1e3)
            peers.append(_in_process_mb())
            progress(f"round {number + 1}/3: {deltas[-1]:.1f} MB, in-process {peers[-1]:.1f} MB, {starts[-1]:.0f} ms")
    yield Figure.with_peer("ebpf_rss_delta_mb", median(deltas), "MB", median(peers))
    yield Figure("ebpf_start_ms", median(starts), "ms")


@contextmanager
def _ours(node: Host) -> Iterator[tuple[Callable[[], tuple[int, int]], Callable[[], None]]]:
    with node.entered():
        counters = DropCounters(DropCounting(DropsSettings()))

    def turn() -> None:
        list(counters.poll(time.monotonic() + 1e6))

    def read() -> tuple[int, int]:
        return counters.run_statistics()

    try:
        yield read, turn
    finally:
        counters.close()


def _measure(lab: Lab, sources: Sequence[bytes], read: Callable[[], tuple[int, int]]) -> float:
    """Return the nanoseconds per run while packets of these sources are dropped."""
    link = mac(lab["node"]), mac(lab["outside"])
    target = parse_address(lab["node"].address4)
    frames = [udp_frame(link, source, target, 9) for source in sources]
    with lab["outside"].entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    counting = count_runs()
    with sender, open(counting, "rb"):  # noqa: PTH123 - to close it
        sender.bind(("eth0", 0))
        before_ns, before_runs = read()
        for number in range(_PACKETS):
            sender.send(frames[number % len(frames)])
        after_ns, after_runs = read()
    if after_runs - before_runs < _PACKETS * 0.9:
        raise BenchmarkError(f"only {after_runs - before_runs} of {_PACKETS} packets dropped")
    return (after_ns - before_ns) / (after_runs - before_runs)


def _daemon_mb(node: Host, *, enabled: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        daemon = Daemon(node, Path(directory), _CONFIGURATION.format(enabled=str(enabled).lower()))
        daemon.start()
        if enabled:
            wait_for(lambda: "counting dropped packets" in daemon.log, "the program", lambda: daemon.log, 20)
        time.sleep(_SETTLE_S)
        size_mb = memory_mb(daemon.pid, "VmRSS")
        daemon.stop()
        return size_mb


def _in_process_mb() -> float:
    done = subprocess.run([sys.executable, "-m", "bench.peers.bcc_drops"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise BenchmarkError(f"bcc in the process: {done.stderr.strip()[-200:]}")
    return float(done.stdout)
