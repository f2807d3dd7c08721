"""Latency of a ban of an offender in a log."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles

from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.model.addresses import parse_address
from tests.support.daemon import Daemon
from tests.support.journald import Journald
from tests.support.lab import Lab

_OFFENDERS = 300
_TIMEOUT_S = 5.0
_FILTER = 'description: Ours.\nfailregex: ["refused <F-USER>\\\\S+</F-USER> from <HOST>$"]\n'
_CONFIGURATION = """bans: {{budget: {{bans_per_minute: 1000000}}}}
detectors:
  failures:
    sshd: {{enabled: false}}
    files: {{filter: {filter}, backend: files, files: ['{log}'], maxretry: 1}}
    journal: {{filter: {filter}, backend: journal, journalmatch: ['SYSLOG_IDENTIFIER=bench'], maxretry: 1}}
"""
# Prints the time just before each entry is passed to journald.
_SENDER = """
import sys, time
from systemd import journal
for line in sys.stdin:
    start_s = time.monotonic()
    journal.send(line.rstrip(), SYSLOG_IDENTIFIER="bench")
    print(start_s, flush=True)
"""

Write = Callable[[str], float]
"""Writes a line and returns the time just before, in seconds of CLOCK_MONOTONIC."""


@benchmark("log_to_set_p50_ms", "log_to_set_p99_ms", "journal_to_set_p50_ms", "journal_to_set_p99_ms")
def log_to_set() -> Iterator[Figure]:
    """Follow a failure from the log to the offender in the kernel's set (milliseconds), from a file and from journald.

    The real daemon on a node of the lab; maxretry is 1, 300 offenders each, one at a time with 20 to 60 ms between. The
    clock starts just before write(2), or sd_journal_send(3) to a private journald, and stops when the kernel's
    notification of the new element arrives. No peer.
    """
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory, host = Path(name), lab["node"]
        log, journald = directory / "app.log", Journald(directory)
        log.touch(mode=0o600)
        (directory / "ours.yaml").write_text(_FILTER)
        settings = _CONFIGURATION.format(filter=directory / "ours.yaml", log=log)
        daemon = Daemon(host, directory / "daemon", settings)
        inside = ("nsenter", f"--mount=/proc/{journald.process.pid}/ns/mnt")
        sender = subprocess.Popen(
            [*inside, sys.executable, "-c", _SENDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            daemon.start(*inside)
            with SetWatch(host) as watch, log.open("ab", buffering=0) as file:
                for number, (kind, write) in enumerate(
                    {"log": _to(file.fileno()), "journal": _through(sender)}.items()
                ):
                    latencies = sorted(_measure(write, watch, number))
                    p50, p99 = (quantiles(latencies, n=100, method="inclusive")[at] for at in (49, 98))
                    progress(f"{kind}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {latencies[-1]:.2f} ms")
                    yield Figure(f"{kind}_to_set_p50_ms", p50, "ms")
                    yield Figure(f"{kind}_to_set_p99_ms", p99, "ms")
            daemon.stop()
        finally:
            sender.kill()
            sender.communicate()
            journald.end()


def _to(descriptor: int) -> Write:
    def write(line: str) -> float:
        start_s = time.monotonic()
        os.write(descriptor, f"{line}\n".encode())
        return start_s

    return write


def _through(sender: subprocess.Popen[str]) -> Write:
    def write(line: str) -> float:
        if sender.stdin is None or sender.stdout is None:
            raise BenchmarkError("the sender has no pipes")
        sender.stdin.write(f"{line}\n")
        sender.stdin.flush()
        return float(sender.stdout.readline())

    return write


def _measure(write: Write, watch: SetWatch, number: int) -> Iterator[float]:
    """Yield the latency of each offender, in milliseconds."""
    pause = random.Random(number)
    for index in range(_OFFENDERS):
        address = f"198.18.{number * 2 + index // 250}.{index % 250 + 1}"
        start_s = write(f"refused root from {address}")
        end_s = watch.wait_for(parse_address(address), _TIMEOUT_S)
        if end_s is None:
            raise BenchmarkError(f"{address} was not banned within {_TIMEOUT_S} s")
        yield (end_s - start_s) * 1e3
        time.sleep(pause.uniform(0.02, 0.06))
