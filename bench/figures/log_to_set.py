"""Latency of a ban of an offender in a log, compared with peers."""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from statistics import median, quantiles

from bench.peers import servers
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.model.addresses import parse_address
from tests.support.daemon import Daemon
from tests.support.journald import Journald
from tests.support.lab import Host, Lab

_OFFENDERS = 300
_PEER_OFFENDERS = 60
_ROUNDS = 3
_JOURNAL = 100
_LINE = "sshd[1234]: Failed password for root from {} port 40000 ssh2"
_TIMEOUT_S = 5.0
_FILTER = 'description: Ours.\nfailregex: ["refused <F-USER>\\\\S+</F-USER> from <HOST>$"]\n'
_CONFIGURATION = """bans: {{budget: {{bans_per_minute: 1000000}}}}
detectors:
  failures:
    sshd: {{backend: files, files: ['{log}'], maxretry: 1}}
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
    notification of the new element arrives. Peers of the file read the same lines of sshd, ban at the first failure,
    and have 60 offenders each, in turn with ours: fail2ban with inotify and its action for nftables; CrowdSec, whose
    bouncer asks each second (its default is every ten); sshguard with its backend for nftables.
    """
    with Lab("node", "peer", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
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
            with SetWatch(host) as watch:
                yield from _files(lab, directory, log, watch)
                entries = _measure(_through(sender), watch, _JOURNAL, "refused root from {}")
                yield from _figures("journal", list(islice(entries, _OFFENDERS)), {})
            daemon.stop()
        finally:
            sender.kill()
            sender.communicate()
            journald.end()


def _files(lab: Lab, directory: Path, log: Path, watch: SetWatch) -> Iterator[Figure]:
    """Measure the daemon, which runs, and the peers in turn; yield the figures of the file."""
    names = servers.available()
    peers: dict[str, list[float]] = {name: [] for name in names}
    ours: list[float] = []
    with log.open("ab", buffering=0) as file:
        measured = _measure(_to(file.fileno()), watch, 0, _LINE)
        for number in range(_ROUNDS):
            ours += islice(measured, _OFFENDERS // _ROUNDS)
            for order, name in enumerate(names, 1):
                peers[name] += _peer(name, lab["peer"], directory / f"{name}{number}", order * _ROUNDS + number)
                progress(f"round {number + 1}/{_ROUNDS}, {name}: median {median(peers[name]):.2f} ms")
    yield from _figures("log", ours, {name: peers.get(name, []) for name in servers.NAMES})


def _peer(name: str, host: Host, directory: Path, number: int) -> list[float]:
    """Return the latencies of a peer's offenders, in milliseconds; it has started to read when it bans one."""
    log = directory.with_suffix(".log")
    log.touch(mode=0o600)
    with (
        servers.running(name, host, directory, [log], bans=True),
        SetWatch(host) as watch,
        log.open("ab", buffering=0) as file,
    ):
        write = _to(file.fileno())
        for attempt in range(1, 250):
            address = f"198.19.{number}.{attempt}"
            write(_LINE.format(address))
            if watch.wait_for(parse_address(address), 1.5):
                break
        return list(islice(_measure(write, watch, number, _LINE), _PEER_OFFENDERS // _ROUNDS))


def _figures(kind: str, latencies: list[float], peers: Mapping[str, list[float]]) -> Iterator[Figure]:
    """Yield median and 99th percentile of latencies and of those of the peers."""
    for label, at in (("p50", 49), ("p99", 98)):
        ours, *theirs = (
            quantiles(values, n=100, method="inclusive")[at] if values else None
            for values in (latencies, *peers.values())
        )
        yield Figure.with_peers(f"{kind}_to_set_{label}_ms", ours or 0.0, "ms", dict(zip(peers, theirs, strict=True)))


def _to(descriptor: int) -> Write:
    """Return what appends a line with the date and host that syslog adds."""

    def write(line: str) -> float:
        dated = f"{time.strftime('%b %e %H:%M:%S')} web1 {line}\n".encode()
        start_s = time.monotonic()
        os.write(descriptor, dated)
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


def _measure(write: Write, watch: SetWatch, number: int, line: str) -> Iterator[float]:
    """Yield the latency of each offender, in milliseconds; `number`: which addresses they have."""
    pause = random.Random(number)
    for index in count():
        address = f"198.18.{number * 2 + index // 250}.{index % 250 + 1}"
        start_s = write(line.format(address))
        end_s = watch.wait_for(parse_address(address), _TIMEOUT_S)
        if end_s is None:
            raise BenchmarkError(f"{address} was not banned within {_TIMEOUT_S} s")
        yield (end_s - start_s) * 1e3
        time.sleep(pause.uniform(0.02, 0.06))
