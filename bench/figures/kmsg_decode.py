"""Speed of the kernel log decoder."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType

from bench.kmsg_lines import mixed_records, numbered
from bench.peers import fail2ban
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor import native
from monitor.model.clock import BootClock
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.format import parse_record
from monitor.sources.kmsg.prefixes import LogPrefixes

_ROUNDS = 7
_BATCH = 512  # what KernelLog.read takes at a time
_LINES = 100_000
_PEER_LINES = 20_000
_PEER_FEW = 200


@benchmark("kmsg_decode_lines_per_s")
def kmsg_decode() -> Iterator[Figure]:
    """Kernel log lines decoded on one core, alternating IPv4 and IPv6, TCP and UDP (lines per second of CPU time).

    All that the daemon does from a record to an event, in its batches of 512 records: header, sequence number,
    facility, clock, log prefix, packet. CPU time, because the machine may be shared. Peer: `fail2ban-regex` of
    Debian's fail2ban with a pattern for the same lines, without its start: the difference between many and few lines.
    Medians over interleaved rounds. The progress also shows what Python does without the native extension.
    """
    records = numbered(mixed_records(_LINES))
    messages = [parse_record(record).message for record in records[:_PEER_LINES]]
    has_peer = fail2ban.fetch()
    ours, peers = [], []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(_ROUNDS):
            ours.append(_decode(records, native.extension))
            python = _decode(records[:_PEER_LINES], None)
            if has_peer:
                peers.append(_peer(messages, Path(directory)))
            peer_text = f", peer {peers[-1]:,.0f}/s" if peers else ""
            progress(f"round {number + 1}/{_ROUNDS}: {ours[-1]:,.0f}/s, in Python {python:,.0f}/s{peer_text}")
    yield Figure.with_peer("kmsg_decode_lines_per_s", median(ours), "lines/s", median(peers) if peers else None)


def _decode(records: Sequence[bytes], extension: ModuleType | None) -> float:
    """Return lines per CPU second."""
    batches = [list(records[start : start + _BATCH]) for start in range(0, len(records), _BATCH)]
    decoder = RecordDecoder(KernelLogStats(), BootClock(0.0, 1.0), LogPrefixes(), extension=extension)
    events = 0
    start_s = time.process_time()
    for batch in batches:
        events += len(decoder.decode(batch))
    used_s = time.process_time() - start_s
    if events != len(records):
        raise BenchmarkError(f"{events} events of {len(records)} lines")
    return events / used_s


def _peer(messages: Sequence[str], directory: Path) -> float:
    """Return the peer's lines per CPU second, without its start."""
    few = messages[:_PEER_FEW]
    return (len(messages) - len(few)) / (fail2ban.cpu_s(messages, directory) - fail2ban.cpu_s(few, directory))
