"""Speed of scan detection in the kernel log, compared with peers."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.kmsg_lines import mixed_records, numbered
from bench.peers import crowdsec, psad
from bench.peers.crowdsec import CrowdSec
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.daemon.pipeline.wiring import build_detectors
from monitor.model.clock import BootClock
from monitor.model.events import PacketLogged
from monitor.settings.schema import Settings
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.format import parse_record
from monitor.sources.kmsg.prefixes import LogPrefixes
from tests.support.lab import Lab

_ROUNDS = 5
_LINES = 100_000
_PEER_LINES, _PEER_FEW = 10_000, 100
_BATCH = 512
"""The maximum batch of the source."""


@benchmark("kmsg_scan_lines_per_s")
def kmsg_scan() -> Iterator[Figure]:
    """Find scans in kernel log lines of IPv4 and IPv6, TCP and UDP (lines per second of CPU time on one core).

    The daemon's decoder, and all its detectors of logged packets with their defaults, in batches of 512; no pipeline.
    Peers, on the first 10,000 of the 100,000 lines, without their start (the difference between many and few lines):
    psad, which analyzes a file with its signatures, and CrowdSec with its parser for iptables and its scenario
    `iptables-scan-multi_ports`. fail2ban has no scan detection. Medians over interleaved rounds.
    """
    records = numbered(mixed_records(_LINES))
    lines = [f"Jun  1 12:00:00 node kernel: [ 1234.567890] {parse_record(one).message}\n" for one in records]
    has_psad, has_crowdsec = psad.fetch(), crowdsec.fetch()
    runs: dict[str, list[float]] = {name: [] for name in ("ours", "crowdsec", "psad")}
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory, node = Path(name), lab["node"]
        many, few = directory / "many.log", directory / "few.log"
        many.write_text("".join(lines[:_PEER_LINES]))
        few.write_text("".join(lines[:_PEER_FEW]))
        home = CrowdSec(node, directory / "crowdsec", (), crowdsec.SCENARIOS) if has_crowdsec else None
        for number in range(_ROUNDS):
            runs["ours"].append(_detect(records))
            if home:
                runs["crowdsec"].append(_rate(home.read_once_s(many) - home.read_once_s(few)))
            if has_psad:
                took_s = psad.read_s(node, many, directory / "psad") - psad.read_s(node, few, directory / "psad")
                runs["psad"].append(_rate(took_s))
            shown = ", ".join(f"{name} {done[-1]:,.0f}/s" for name, done in runs.items() if done)
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
    peers = {name: median(done) if done else None for name, done in runs.items() if name != "ours"}
    yield Figure.with_peers("kmsg_scan_lines_per_s", median(runs["ours"]), "lines/s", peers)


def _rate(took_s: float) -> float:
    return (_PEER_LINES - _PEER_FEW) / took_s


def _detect(records: Sequence[bytes]) -> float:
    """Return lines per CPU second."""
    batches = [list(records[first : first + _BATCH]) for first in range(0, len(records), _BATCH)]
    detectors = [one for one in build_detectors(Settings()) if PacketLogged in one.takes]
    decoder = RecordDecoder(KernelLogStats(), BootClock(0.0, 1.0), LogPrefixes())
    dispatch, alerts = Dispatch(detectors), 0
    batches = [list(records[first : first + _BATCH]) for first in range(0, len(records), _BATCH)]
    decoder = RecordDecoder(KernelLogStats(), BootClock(0.0, 1.0), LogPrefixes())
    start_s = time.process_time()
    for batch in batches:
        alerts += sum(1 for _ in dispatch.feed(decoder.decode(batch)))
    took_s = time.process_time() - start_s
    if not alerts:
        raise BenchmarkError("no scan was found")
    return len(records) / took_s
