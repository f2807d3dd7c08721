"""Latency of the first ban after a start."""

import random
import tempfile
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from statistics import median

from bench.offenders import attacked_node, measure
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.model.addresses import parse_address
from tests.support.daemon import Daemon
from tests.support.lab import Lab

_ROUNDS = 15
_SCAN_ROUNDS = 10
_NEXT = 3
_TIMEOUT_S = 10.0
_CONFIGURATION = """detectors:
  failures:
    sshd: {{enabled: true, backend: files, files: ['{log}'], maxretry: 1}}
"""


@benchmark("first_ban_after_start_ms")
def first_ban() -> Iterator[Figure]:
    """Follow the first failure after a start from the log to the kernel's set (milliseconds).

    The real daemon on a node of the lab, with its default settings and the built-in filter sshd on a file, threshold 1.
    It runs once before, so that what it keeps on disk is there. In each of 15 rounds it is started; 1 to 1.5 s after it
    answers, the first line of this run is written. The clock starts just before write(2) and stops when the kernel's
    notification of the new element arrives. Median of the rounds. The progress output has the maximum, and the median
    of the next three bans of each run. No peer.
    """
    chance = random.Random(1)
    firsts, others = [], []
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        log = Path(name) / "auth.log"
        log.touch(mode=0o600)
        daemon = Daemon(lab["node"], Path(name), _CONFIGURATION.format(log=log))
        with SetWatch(lab["node"]) as watch, log.open("ab", buffering=0) as file:
            for number in range(_ROUNDS + 1):
                daemon.start()
                time.sleep(chance.uniform(1, 1.5))
                first_ms, *next_ms = (
                    _ban_ms(file, watch, f"198.18.{number}.{1 + index}") for index in range(1 + _NEXT)
                )
                daemon.stop()
                if number:
                    firsts.append(first_ms)
                    others += next_ms
    progress(f"first bans: median {median(firsts):.2f} ms, max {max(firsts):.2f}; next ones: {median(others):.2f} ms")
    yield Figure("first_ban_after_start_ms", median(firsts), "ms")


@benchmark("first_scan_ban_after_start_ms")
def first_scan_ban() -> Iterator[Figure]:
    """Follow the first scanner after a restart from the packet that crosses the threshold to the kernel's set (ms).

    Measured as `ban_latency_p50_ms`, on a node whose daemon ran before with the same firewall: in each of ten rounds it
    is restarted, and a second later the first scanners come. Median of the first ones. The progress output has the
    maximum, and the median of the next three of each round. No peer.
    """
    firsts, others = [], []
    with attacked_node() as (daemon, attacker, watch):
        measure(attacker, watch, 0, 1 + _NEXT)
        for number in range(1, _SCAN_ROUNDS + 1):
            daemon.stop()
            daemon.start()
            time.sleep(1)
            first_ms, *next_ms = measure(attacker, watch, number, 1 + _NEXT)
            firsts.append(first_ms)
            others += next_ms
        daemon.stop()
    progress(f"first bans: median {median(firsts):.2f} ms, max {max(firsts):.2f}; next ones: {median(others):.2f} ms")
    yield Figure("first_scan_ban_after_start_ms", median(firsts), "ms")


def _ban_ms(file: FileIO, watch: SetWatch, address: str) -> float:
    line = (
        f"{time.strftime('%b %e %H:%M:%S')} web1 sshd[4711]: Failed password for root from {address} port 40112 ssh2\n"
    )
    start_s = time.monotonic()
    file.write(line.encode())
    end_s = watch.wait_for(parse_address(address), _TIMEOUT_S)
    if end_s is None:
        raise BenchmarkError(f"{address} was not banned within {_TIMEOUT_S} s")
    return (end_s - start_s) * 1e3
