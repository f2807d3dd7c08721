"""The cost of receiving connection events, and the number of lost events."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec

from bench.offenders import mac
from bench.packets import udp_frame
from bench.process import cpu_s
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.model.addresses import parse_address
from monitor.sources.conntrack.health import read_health
from monitor.sources.conntrack.reader import Conntrack
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

_RATE = 50_000
_LONG_S, _SHORT_S = 20.0, 5.0
_TOLERANCE = 1.05
"""How much longer than planned sending may take: at 50,000 flows/s, 47,600/s must be sent."""
_ROUNDS, _MOST_ROUNDS = 3, 9
_MAX_ENTRIES = 2_000_000
_LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_QUIET_S = 1.0
_BUFFER_BYTES = 8 << 20
_CONFIGURATION = "sources: {kernel_log: {enabled: false}}\n"
_RECORDS = 'nodewarden_source_records_total{source="conntrack"}'
_LOST = 'nodewarden_source_lost_records_total{source="conntrack"}'


class TooSlowError(BenchmarkError):
    """Other programs on this machine used the CPU time needed for sending."""


class Round(msgspec.Struct, frozen=True):
    """The results of a receiver for one phase of traffic."""

    cpu_s: float
    events: int
    opened: int
    gaps: int
    missing: int
    """Flows that the kernel tracked and that were not reported to the receiver."""


class Traffic:
    """New UDP flows from the client to the node, one packet each."""

    def __init__(self, node: Host, client: Host) -> None:
        self._node, self._client = node, client
        link = mac(node), mac(client)
        self._frame = udp_frame(link, parse_address(client.address4), parse_address(node.address4), 9)
        self._next = 0

    def send(self, duration_s: float) -> int:
        """Send at the given rate, starting with an empty table; return the number of flows that the kernel tracked."""
        self._node.run("conntrack", "-F")
        before = self._refused()
        first = self._next
        self._next += int(_RATE * duration_s)
        done = self._client.run(
            sys.executable, "-m", "bench.paced_flows", self._frame.hex(), str(_RATE), str(duration_s), str(first)
        )
        sent, took_s = done.stdout.split()
        if float(took_s) > duration_s * _TOLERANCE:
            raise TooSlowError(f"{sent} flows took {float(took_s):.1f} s: this machine cannot send at that rate")
        return int(sent) - (self._refused() - before)

    def _refused(self) -> int:
        with self._node.entered():
            totals = read_health().totals
        return totals["drop"] + totals["insert_failed"]


@benchmark("conntrack_paced_lost", "conntrack_cpu_s_per_100k")
def conntrack_paced() -> Iterator[Figure]:
    """50,000 new flows/s, paced, over a link of the lab to the running daemon with its default buffer and detectors.

    `conntrack_paced_lost`: flows that the kernel tracked in 20 s and that were not reported to the daemon.
    `conntrack_cpu_s_per_100k`: CPU seconds of the daemon per 100,000 events, in rounds of 5 s. Peer: `conntrack -E`
    with the same buffer, writing to /dev/null, in interleaved rounds. Medians.
    """
    ours, peers = [], []
    with Lab("node", "client", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        node = lab["node"]
        node.nft("table inet watch { chain in { type filter hook input priority 0; ct state new accept; }; }")
        traffic = Traffic(node, lab["client"])
        with _room():
            long = _daemon_round(node, Path(directory) / "long", traffic, _LONG_S)
            progress(f"20 s: {long.missing} of {long.opened} flows lost, {long.gaps} gaps")
            for mine, theirs in _rounds(node, Path(directory), traffic):
                ours.append(mine)
                peers.append(theirs)
                shown = ", ".join(f"{_cost(one):.3f} s ({one.events} events)" for one in (mine, theirs))
                progress(f"round {len(ours)}/{_ROUNDS}: per 100,000 events {shown}")
    yield Figure("conntrack_paced_lost", long.missing, "flows")
    yield Figure.with_peer("conntrack_cpu_s_per_100k", median(map(_cost, ours)), "s", median(map(_cost, peers)))


def _rounds(node: Host, directory: Path, traffic: Traffic) -> Iterator[tuple[Round, Round]]:
    """Yield rounds of ours and the peer's; rounds in which the sender was too slow are repeated."""
    left = _ROUNDS
    for number in range(_MOST_ROUNDS):
        try:
            yield _daemon_round(node, directory / str(number), traffic, _SHORT_S), _peer_round(node, traffic)
        except TooSlowError as error:
            progress(f"repeated: {error}")
            continue
        left -= 1
        if left == 0:
            return
    raise BenchmarkError(f"{left} of {_ROUNDS} rounds could not be sent at that rate")


def _daemon_round(node: Host, directory: Path, traffic: Traffic, duration_s: float) -> Round:
    daemon = Daemon(node, directory, _CONFIGURATION)
    daemon.start()
    before, began_s = daemon.metrics(), cpu_s(daemon.pid)
    try:
        tracked = traffic.send(duration_s)
        time.sleep(_QUIET_S)
        took_s = cpu_s(daemon.pid) - began_s
        after = daemon.metrics()
    finally:
        daemon.stop()
    opened = sum(
        int(value - before.get(series, 0))
        for series, value in after.items()
        if series.startswith("nodewarden_flows_total") and 'event="opened",protocol="udp"' in series
    )
    return Round(
        took_s, int(after[_RECORDS] - before[_RECORDS]), opened, int(after[_LOST] - before[_LOST]), tracked - opened
    )


def _peer_round(node: Host, traffic: Traffic) -> Round:
    """Count the events with one process while another one, whose CPU time is measured, discards them."""
    process = node.start("conntrack", "-E", "-b", str(_BUFFER_BYTES))
    wait_for(lambda: "conntrack" in Path(f"/proc/{process.pid}/comm").read_text(), "conntrack to run")
    time.sleep(_QUIET_S)
    with node.entered():
        counter = Conntrack(buffer_bytes=512 << 20)
    with contextlib.closing(counter):
        try:
            began_s = cpu_s(process.pid)
            traffic.send(_SHORT_S)
            time.sleep(_QUIET_S)
            if process.poll() is not None:
                raise BenchmarkError(f"conntrack -E exited with {process.returncode}: it lost events")
            took_s = cpu_s(process.pid) - began_s
        finally:
            process.terminate()
            process.wait()
        while not counter.is_drained:
            counter.read()
        return Round(took_s, counter.stats.records, 0, counter.stats.lost, 0)


def _cost(one: Round) -> float:
    return one.cpu_s / one.events * 100_000


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Make the table large enough for all flows; the setting applies to the whole machine."""
    before = _LIMIT.read_text()
    _LIMIT.write_text(str(_MAX_ENTRIES))
    try:
        yield
    finally:
        _LIMIT.write_text(before)
