"""Speed of the kernel log decoder."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.kmsg_lines import mixed_records
from bench.peers import fail2ban
from bench.registry import Figure, benchmark, progress
from monitor.sources.kmsg.format import decode_packet, is_packet_line, parse_record

_ROUNDS = 7
_LINES = 100_000
_PEER_LINES = 20_000
_PEER_FEW = 200


@benchmark("kmsg_decode_lines_per_s")
def kmsg_decode() -> Iterator[Figure]:
    """Kernel log lines decoded on one core, alternating IPv4 and IPv6, TCP and UDP (lines per second of CPU time).

    The daemon's functions in the daemon's order: parse_record, the facility check, is_packet_line, decode_packet.
    CPU time, because the machine may be shared. Peer: `fail2ban-regex` of Debian's fail2ban with a pattern for the
    same lines, without its start: the difference between many and few lines. Medians over interleaved rounds.
    """
    records = mixed_records(_LINES)
    messages = [parse_record(record).message for record in records[:_PEER_LINES]]
    has_peer = fail2ban.fetch()
    ours, peers = [], []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(_ROUNDS):
            ours.append(_decode(records))
            if has_peer:
                peers.append(_peer(messages, Path(directory)))
            peer_text = f", peer {peers[-1]:,.0f}/s" if peers else ""
            progress(f"round {number + 1}/{_ROUNDS}: {ours[-1]:,.0f}/s{peer_text}")
    yield Figure.with_peer("kmsg_decode_lines_per_s", median(ours), "lines/s", median(peers) if peers else None)


def _decode(records: Sequence[bytes]) -> float:
    """Return lines per CPU second."""
    start_s = time.process_time()
    for raw in records:
        record = parse_record(raw)
        if record.facility == 0 and is_packet_line(record.message):
            decode_packet(record.message, 1.0)
    return len(records) / (time.process_time() - start_s)


def _peer(messages: Sequence[str], directory: Path) -> float:
    """Return the peer's lines per CPU second, without its start."""
    few = messages[:_PEER_FEW]
    return (len(messages) - len(few)) / (fail2ban.cpu_s(messages, directory) - fail2ban.cpu_s(few, directory))
