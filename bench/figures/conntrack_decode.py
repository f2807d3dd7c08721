"""Speed of the conntrack decoder."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

from bench.peers import pyroute2
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.model.addresses import format_address
from monitor.sources.conntrack.fast_decoder import FlowDecoder
from tests.support.conntrack import messages

_RECORDINGS = ("tcp", "tcp_counted", "tcp_unanswered", "udp", "icmp", "dnat", "mark")
_ROUNDS = 21
_EVENTS = 200_000
_PEER_EVENTS = 1000
_BATCH = 512


@benchmark("conntrack_decode_events_per_s")
def conntrack_decode() -> Iterator[Figure]:
    """Conntrack events decoded on one core: datagrams as the kernel sent them (events per second of CPU time).

    Input: the recordings of TCP, UDP and ICMP over IPv4 and IPv6 in the corpus, with and without counters, marks and
    translation, repeated in batches of 512. Half of them become complete events with all fields; the others are
    updates without a handshake, which cost about the same. CPU time, because the machine may be shared.
    Peer: the decoder of pyroute2 on the same datagrams, reading both tuples, status and ID. Medians over interleaved
    rounds.
    """
    recorded = [message for name in _RECORDINGS for message in messages(name)]
    peer = pyroute2.decoder() if pyroute2.fetch() else None
    if peer is not None:
        _compare(recorded, peer)
    ours, peers = [], []
    for number in range(_ROUNDS):
        ours.append(_decode(recorded))
        if peer is not None:
            peers.append(_decode_by(peer, recorded))
        peer_text = f", peer {peers[-1]:,.0f}/s" if peers else ""
        progress(f"round {number + 1}/{_ROUNDS}: {ours[-1]:,.0f}/s{peer_text}")
    yield Figure.with_peer("conntrack_decode_events_per_s", median(ours), "events/s", median(peers) if peers else None)


def _repeated(recorded: Sequence[bytes], count: int) -> list[bytes]:
    return [recorded[i % len(recorded)] for i in range(count)]


def _decode(recorded: Sequence[bytes]) -> float:
    """Return events per CPU second."""
    batch, rounds, decoder = _repeated(recorded, _BATCH), _EVENTS // _BATCH, FlowDecoder()
    if decoder.decode(recorded, 1.0).malformed:
        raise BenchmarkError("a recorded event was not decoded")
    start_s = time.process_time()
    for _ in range(rounds):
        decoder.decode(batch, 1.0)
    return rounds * _BATCH / (time.process_time() - start_s)


def _decode_by(peer: Callable[[bytes], tuple[Any, ...]], recorded: Sequence[bytes]) -> float:
    """Return the peer's events per CPU second."""
    raws = _repeated(recorded, _PEER_EVENTS)
    start_s = time.process_time()
    for raw in raws:
        peer(raw)
    return len(raws) / (time.process_time() - start_s)


def _compare(recorded: Sequence[bytes], peer: Callable[[bytes], tuple[Any, ...]]) -> None:
    """Fail unless both decode the same values."""
    for raw in recorded:
        for event in FlowDecoder().decode([raw], 1.0).events:
            ours = (
                format_address(event.source),
                format_address(event.destination),
                event.protocol,
                event.source_port,
                event.destination_port,
                format_address(event.real_destination),
                format_address(event.translated_source),
                event.protocol,
                event.real_destination_port,
                event.translated_source_port,
                event.status,
                event.id,
            )
            if peer(raw) != ours:
                raise BenchmarkError(f"pyroute2 reads {peer(raw)} where we read {ours}")
