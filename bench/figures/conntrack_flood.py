"""The daemon under a SYN flood, and the latency of bans during the flood."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.offenders import Attacker, measure, percentiles
from bench.process import cpu_s, memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from tests.support.daemon import Daemon, wait_for
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab
from tests.support.open_site import serving

_OFFENDERS = 100
_SETTLED_S, _END_S = 20.0, 30.0
"""After this time all bounded tables are full."""
_RECORDS = 'nodewarden_source_records_total{source="conntrack"}'
_LOST = 'nodewarden_source_lost_records_total{source="conntrack"}'
_NAMES = (
    "named_ms",
    "ban_p50_ms",
    "ban_p99_ms",
    "gaps",
    "events_per_s",
    "cpu_share",
    "growth_mb",
    "wrong_bans",
)


@benchmark(*(f"conntrack_flood_{kind}{name}" for kind in ("", "tiny_") for name in _NAMES))
def conntrack_flood() -> Iterator[Figure]:
    """Flood an open port with SYN packets from forged sources, as fast as hping3 can, for half a minute.

    With the default buffer, and (`tiny`) with one of 64 KiB. `named_ms`: time from the start of the flood to its alert
    in the daemon's log. `ban_p50_ms`, `ban_p99_ms`: during the flood, from the logged packet that crosses a threshold
    to the kernel's notification of the element (see `ban_latency`). `gaps`: counted overruns. `events_per_s`: events
    read. `cpu_share`: of one core. `growth_mb`: increase of resident memory between 20 s and 30 s. `wrong_bans`: bans
    of other sources than the measured offenders. No peer: no other program both follows connections and bans.
    """
    for kind, buffer in (("", "8MiB"), ("tiny_", "64KiB")):
        for name, value, unit in _flood(buffer):
            yield Figure(f"conntrack_flood_{kind}{name}", value, unit)


def _flood(buffer: str) -> list[tuple[str, float, str]]:
    prefix = f"nw-bench-{os.getpid()}: "
    with Lab("node", "attacker", "flooder", label="bench") as lab, tempfile.TemporaryDirectory() as directory:
        node = lab["node"]
        node.nft(logging_firewall(prefix))
        more = f"conntrack: {{buffer: {buffer}}}}}\nbans: {{budget: {{bans_per_minute: 1000000}}}}\n"
        daemon = Daemon(node, Path(directory), counting_only(prefix).rstrip("}\n") + "}, " + more)
        daemon.start()
        with SetWatch(node) as watch, serving(node, range(80, 81)), _flooding(lab["flooder"], node) as begun_s:
            before, began_cpu_s = daemon.metrics(), cpu_s(daemon.pid)
            wait_for(lambda: "half-open" in daemon.log, "the alert for the flood", lambda: daemon.log, 20)
            named_s = time.monotonic() - begun_s
            latencies = measure(Attacker(lab["attacker"], node), watch, 0, _OFFENDERS)
            _until(begun_s + _SETTLED_S)
            settled_mb = memory_mb(daemon.pid, "VmRSS")
            _until(begun_s + _END_S)
            growth_mb = memory_mb(daemon.pid, "VmRSS") - settled_mb
            took_s, after = time.monotonic() - begun_s, daemon.metrics()
            share = (cpu_s(daemon.pid) - began_cpu_s) / took_s
        bans = daemon.ask("list")
        p50, p99 = percentiles(latencies)
        events_per_s = (after[_RECORDS] - before[_RECORDS]) / took_s
        progress(f"buffer {buffer}: alert after {named_s:.2f} s, bans p99 {p99:.1f} ms, {events_per_s:,.0f} events/s")
        return [
            ("named_ms", named_s * 1e3, "ms"),
            ("ban_p50_ms", p50, "ms"),
            ("ban_p99_ms", p99, "ms"),
            ("gaps", after[_LOST] - before[_LOST], "gaps"),
            ("events_per_s", events_per_s, "events/s"),
            ("cpu_share", share, "cores"),
            ("growth_mb", growth_mb, "MB"),
            ("wrong_bans", len(bans) - _OFFENDERS, "bans"),
        ]


@contextmanager
def _flooding(here: Host, node: Host) -> Iterator[float]:
    """Flood port 80 and yield the start time (CLOCK_MONOTONIC)."""
    process = here.start("hping3", "-q", "--flood", "-S", "-p", "80", "--rand-source", node.address4)
    try:
        yield time.monotonic()
        if process.poll() is not None:
            raise BenchmarkError(f"hping3 exited with {process.returncode}")
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))
