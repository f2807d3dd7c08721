"""Growth of the daemon: with its bans, with the logs that it follows, with network namespaces that drop packets."""

import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.growing_logs import grow
from bench.growth import growth
from bench.many_bans import write_bans
from bench.process import cpu_s
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon
from tests.support.lab import Host, Lab

_BANS = (1000, 10_000, 100_000, 1_000_000)
_ROOM = "bans: {max_bans: 1048576}\n"
_LOGS = (1, 20, 100, 500)
_LINES_PER_LOG_S = 5
_LOG_CONFIGURATION = """detectors:
  failures:
    sshd: {{maxretry: 10000, filter: sshd, backend: files, files: ['{directory}/*.log']}}
"""
_NAMESPACES = (1, 10, 50, 200)
_DROPS_PER_NAMESPACE_S = 10
_MEASURE_S = 4.0
_WARM_S = 1.0
_DROP_CONFIGURATION = "sources: {drops: {enabled: true, all_namespaces: true, pods: 500}}\n"


@benchmark("growth_bans_us")
def growth_bans() -> Iterator[Figure]:
    """Start the daemon without a table and with 1,000 to 1,000,000 bans of single addresses (µs per ban).

    As `restore_100k_s`, once each: the store is read, and every ban is in ledger and kernel at the end.
    """
    costs = {}
    for size in _BANS:
        with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
            write_bans(Path(directory) / "state", size)
            daemon = Daemon(lab["node"], Path(directory), _ROOM)
            command = (sys.executable, "-m", "bench.start_run", daemon.configuration_path)
            took_s, in_force, held = lab["node"].run(*command, timeout_s=300).stdout.split()
        if (int(in_force), int(held)) != (size, size):
            raise BenchmarkError(f"{in_force} bans in the ledger, {held} in the kernel, expected {size}")
        costs[size] = float(took_s) * 1e6 / size
        progress(f"{size:,} bans: {float(took_s):.2f} s, {costs[size]:.1f} µs each")
    yield growth("growth_bans_us", "µs", costs)


@benchmark("growth_logs_line_us")
def growth_logs() -> Iterator[Figure]:
    """Follow 1 to 500 logs that get five lines of a brute force per second each (µs of CPU time per line).

    The running daemon with the detector sshd, which counts but never bans; over four seconds, once each.
    """
    costs = {}
    for size in _LOGS:
        with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
            directory = Path(name)
            logs = [directory / f"{number}.log" for number in range(size)]
            for log in logs:
                log.touch(mode=0o600)
            percent, _ = _running(
                lab["node"],
                directory / "daemon",
                _LOG_CONFIGURATION.format(directory=directory),
                partial(grow, logs, size * _LINES_PER_LOG_S, warm_s=_WARM_S, measure_s=_MEASURE_S),
            )
        costs[size] = percent * 1e4 / (size * _LINES_PER_LOG_S)
        progress(f"{size} logs: {percent:.2f} % of a core, {costs[size]:.0f} µs per line")
    yield growth("growth_logs_line_us", "µs", costs)


@benchmark("growth_namespaces_us")
def growth_namespaces() -> Iterator[Figure]:
    """Count drops while 1 to 200 other network namespaces drop ten packets per second each (µs per second and each).

    The running daemon with `all_namespaces` and `pods` of `sources.drops`; the packets are UDP to a closed port on the
    loopback interface of each namespace. CPU time of the daemon over four seconds, once each.
    """
    costs = {}
    for size in _NAMESPACES:
        names = [f"pod{number}" for number in range(size)]
        with Lab("node", *names, label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
            pods = [lab[name] for name in names]
            percent, dropped = _running(lab["node"], Path(directory), _DROP_CONFIGURATION, partial(_drop, pods))
        if dropped < size * _DROPS_PER_NAMESPACE_S * _MEASURE_S:
            raise BenchmarkError(f"{dropped} packets were sent to {size} namespaces")
        costs[size] = percent * 1e4 / size
        progress(f"{size} namespaces: {percent:.2f} % of a core, {costs[size]:.0f} µs per second and each")
    yield growth("growth_namespaces_us", "µs", costs)


def _running(
    host: Host, directory: Path, configuration: str, measure: Callable[[Callable[[], float]], tuple[float, int]]
) -> tuple[float, int]:
    """Run the daemon and measure it: a function of its CPU seconds, that returns what `measure` returns."""
    daemon = Daemon(host, directory, configuration)
    daemon.start()
    result = measure(lambda: cpu_s(daemon.pid))
    daemon.stop()
    return result


def _drop(pods: Sequence[Host], used_s: Callable[[], float]) -> tuple[float, int]:
    """Send packets that are dropped; return the percentage of a core that was used, and how many were sent."""
    with ExitStack() as stack:
        sockets = []
        for pod in pods:
            with pod.entered():
                sockets.append(stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        began_s, measured_from_s, before_s, sent = time.monotonic(), 0.0, 0.0, 0
        while (passed_s := time.monotonic() - began_s) < _WARM_S + _MEASURE_S:
            if not measured_from_s and passed_s >= _WARM_S:
                measured_from_s, before_s = time.monotonic(), used_s()
            for one in sockets:
                one.sendto(b"x", ("127.0.0.1", 9))
            sent += len(sockets)
            turns = sent // len(sockets)
            time.sleep(max(0.0, began_s + turns / _DROPS_PER_NAMESPACE_S - time.monotonic()))
        return 100 * (used_s() - before_s) / (time.monotonic() - measured_from_s), sent
