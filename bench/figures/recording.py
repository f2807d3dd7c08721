"""What a recording costs: bytes on disk and CPU for an event."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.kmsg_lines import packet_record
from bench.registry import Figure, benchmark, progress
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.clock import BootClock
from monitor.model.events import Event
from monitor.recording.flood import weight
from monitor.recording.inputs import Events, Input, Ticked
from monitor.recording.recorder import HANDED_OVER_EVENTS
from monitor.recording.ring import Ring
from monitor.recording.segments import Header
from monitor.recording.writer import Writer
from monitor.settings.schema import Settings
from monitor.sources.conntrack.fast_decoder import FlowDecoder
from monitor.sources.conntrack.handshakes import Handshakes
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.prefixes import LogPrefixes
from tests.support.conntrack import messages
from tests.support.policy import small_table

_RATE = 50_000
_SECONDS = 4
_BATCH = 512
_ROUNDS = 5
_START_S = 1_790_000_000.0
_PORTS = (22, 23, 80, 443, 445, 3389, 5060, 8080)
Batch = Callable[[], tuple[Sequence[Event], float]]
"""Makes the events of a batch as their source does; returns them with the CPU time that took, in seconds."""


@benchmark("record_bytes_per_event", "record_cpu_percent", "record_connections_cpu_percent")
def recording() -> Iterator[Figure]:
    """Bytes on disk for an event, and CPU of recording compared with the pipeline's, at 50,000 events/s.

    Three kinds of traffic: logged packets of forged sources, each of which comes once; logged packets of 400 sources,
    few of which send most; whole connections of clients, each message of which that means something is an event. Each
    batch of 512 is decoded as by its source, goes through a pipeline with the default settings, and is encoded,
    compressed and written to a file with as many others as the recorder hands to its thread. Nothing is left out as a
    flood. CPU time of this thread, because the machine may be shared; the pipeline's includes decoding (of connections
    the seven messages that the kernel sends of each, and following handshakes) and one tick a second. Bytes are those
    of the worst traffic, the share is that of all three together, and that of connections alone: an event of one costs
    the pipeline least. Medians over rounds. No peer.
    """
    sizes, costs = [], []
    for name, make in (("forged", _forged), ("realistic", _realistic), ("connections", _connections)):
        rounds = [_measure(make) for _ in range(_ROUNDS)]
        size, recording_s, pipeline_s = (median(one[which] for one in rounds) for which in range(3))
        share = f"{100 * recording_s / pipeline_s:.1f} %"
        progress(f"{name}: {size:.2f} bytes an event, {share} ({recording_s:.3f} s of {pipeline_s:.3f} s)")
        sizes.append(size)
        costs.append((recording_s, pipeline_s))
    yield Figure("record_bytes_per_event", max(sizes), "bytes")
    yield Figure("record_cpu_percent", 100.0 * sum(one for one, _ in costs) / sum(one for _, one in costs), "%")
    yield Figure("record_connections_cpu_percent", 100.0 * costs[-1][0] / costs[-1][1], "%")


def _measure(make: Callable[[random.Random, float], Batch]) -> tuple[float, float, float]:
    """Return bytes for an event, and the CPU time of recording and of the pipeline in seconds."""
    source = random.Random(7)
    pipeline = Pipeline(Settings(), (), small_table)
    recording_s = pipeline_s = 0.0
    with tempfile.TemporaryDirectory() as directory:
        ring = Ring(Path(directory) / "ring", 1 << 30, 86_400.0)
        writer = Writer(ring, 1 << 30, lambda time_s: Header("node", "1", time_s), clock=time.thread_time)
        for second in range(_SECONDS):
            now_s = _START_S + second
            told: list[Input] = []
            events = waiting = 0
            while events < _RATE:
                now_s = _START_S + second + events / _RATE
                batch, decode_s = make(source, now_s)()
                start_s = time.thread_time()
                pipeline.process(batch, now_s)
                pipeline_s += time.thread_time() - start_s + decode_s
                told.append(Events(now_s, batch))
                events += weight(told[-1])
                waiting += weight(told[-1])
                if waiting >= HANDED_OVER_EVENTS:
                    recording_s += _written(writer, told)
                    told, waiting = [], 0
            start_s = time.thread_time()
            pipeline.tick(now_s)
            pipeline_s += time.thread_time() - start_s
            recording_s += _written(writer, [*told, Ticked(now_s)])
        start_s = time.thread_time()
        state = writer.close()
        recording_s += time.thread_time() - start_s
    return state.written_bytes / state.written_events, recording_s, pipeline_s


def _written(writer: Writer, inputs: Sequence[Input]) -> float:
    """Write inputs; return the CPU time that this took, in seconds."""
    start_s = time.thread_time()
    writer.write(inputs)
    return time.thread_time() - start_s


def _forged(source: random.Random, now_s: float) -> Batch:
    return _packets([(source.randbytes(4), source.choice(_PORTS)) for _ in range(_BATCH)], now_s)


_SOURCES = [random.Random(3).randbytes(4) for _ in range(400)]


def _realistic(source: random.Random, now_s: float) -> Batch:
    sources = [_SOURCES[min(399, int(source.paretovariate(0.7)) - 1)] for _ in range(_BATCH)]
    return _packets([(one, source.randrange(1, 10_000)) for one in sources], now_s)


def _packets(packets: Sequence[tuple[bytes, int]], now_s: float) -> Batch:
    """Return a batch of kernel log records at this rate."""
    records = [packet_record(number, *packet, step_us=1_000_000 // _RATE) for number, packet in enumerate(packets)]
    booted = BootClock(0.0, now_s)
    booted.observe(1.0, now_s + 1.0)
    decoder = RecordDecoder(KernelLogStats(), booted, LogPrefixes())

    def decode() -> tuple[Sequence[Event], float]:
        start_s = time.thread_time()
        events = decoder.decode(records)
        return events, time.thread_time() - start_s

    return decode


_FIRST = FlowDecoder().decode(messages("tcp")[:1], 0.0).events[0]
_ADDRESS, _PORT, _ID = _FIRST.source, (_FIRST.source_port or 0).to_bytes(2), _FIRST.id.to_bytes(4)
_CONNECTION = [message for message in messages("tcp") if _ADDRESS in message and _ID in message]
"""What the kernel reports of one connection, from its first packet to its end."""
_decoder, _handshakes = FlowDecoder(), Handshakes()


def _connections(source: random.Random, now_s: float) -> Batch:
    """Return what the kernel reports of 128 connections that open, and end soon."""
    connections = [
        (source.choice(_SOURCES), source.randrange(1024, 65_536).to_bytes(2), source.randbytes(4))
        for _ in range(_BATCH // 4)
    ]
    datagrams = [
        message.replace(_ADDRESS, address).replace(_PORT, port).replace(_ID, number)
        for message in _CONNECTION
        for address, port, number in connections
    ]

    def decode() -> tuple[Sequence[Event], float]:
        start_s = time.thread_time()
        batch = _handshakes.feed(_decoder.decode(datagrams, now_s).events, now_s)
        return [batch], time.thread_time() - start_s

    return decode
