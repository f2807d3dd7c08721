"""Replays: how fast they are, and whether they decide what the live pipeline decided."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from statistics import median
from typing import Any, TypeAlias

from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.daemon.replay.engine import Replay, replay
from monitor.daemon.replay.garbage import rare_collections
from monitor.daemon.sources.recorded_settings import RecordedFilters, configured
from monitor.model.addresses import host
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry
from monitor.model.events import AuthFailure, DropsObserved, PacketLogged, SenderObserved
from monitor.model.flows import Flow, FlowBatch, FlowEstablished, FlowIncomplete, FlowOpened
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import FLOW_BATCH, Events, Started, Surrounded, Ticked
from monitor.recording.wire import decode, encode
from monitor.settings.schema import Settings
from tests.support.days import Day, differences

_ROUNDS = 5
_EVENTS = 100_000
_BATCH = 256
_PER_S = 100
_START_INPUTS = 3
"""Of a recording: that the daemon started, its configuration, what surrounds it."""
_START_S = 1_700_000_000.0
_OWN = bytes((192, 0, 2, 1))
_AT_ONCE = 200
_OFFENDER_EVERY = 300
_DAYS = 200
_STEPS = 300

_Make: TypeAlias = Callable[["_Strangers", float, int], list[Any]]


@benchmark("replay_events_per_s", "replay_all_events_per_s")
def replay_speed() -> Iterator[Figure]:
    """Replay recorded events on one core, from bytes to outcomes (events per second of CPU time).

    100,000 events in batches of 256: failed logins for the one detector of them, and for all detectors five kinds in
    turn. Sources are as on the Internet: nearly all come up to four times, one of 300 until it is banned. "Peer" is the
    same detectors, fed with the same events as they are in memory: no pipeline, no recording. The start of a replay
    (read the configuration, make detectors), the same however long it is, is shown apart. Medians of five rounds.
    """
    for name, makers in (
        ("replay_events_per_s", [_failures]),
        ("replay_all_events_per_s", [_failures, _packets, _drops, _senders, _flows]),
    ):
        whole, alone, starts_s = [], [], []
        recording = _recording(makers)
        for _ in range(_ROUNDS):
            rate, start_s = _replayed(recording)
            whole.append(rate)
            starts_s.append(start_s)
            alone.append(_fed(recording))
        progress(
            f"{name}: {median(whole):,.0f}/s, detectors alone {median(alone):,.0f}/s, "
            f"start {1000 * median(starts_s):.0f} ms"
        )
        yield Figure.with_peer(name, median(whole), "events/s", median(alone))


@benchmark("replay_differences")
def replay_differences() -> Iterator[Figure]:
    """Count random days whose replay decides otherwise than the live pipeline did: 200, with restarts and reloads.

    Each has 300 steps: batches of every kind, ticks, reloads, restarts with saved and unsaved windows, orders, clock
    steps, bans that the kernel refuses or loses. Compared are all alerts, decisions and ends. No peer.
    """
    different = []
    logging.disable(logging.CRITICAL)  # refused bans, by the thousand
    for seed in range(_DAYS):
        day = Day(seed).run(_STEPS)
        if differences(replay(day.inputs).outcomes, day.outcomes):
            different.append(seed)
        if seed % 20 == 0:
            progress(f"day {seed}: {len(day.outcomes):,} outcomes, different so far: {different or 'none'}")
    logging.disable(logging.NOTSET)
    yield Figure("replay_differences", len(different), "days")


class _Strangers:
    """Sources as a node meets them: a few at a time, each for a short while."""

    def __init__(self) -> None:
        self.chance = random.Random(17)
        self._number = 0x0B00_0000
        self._active: list[list[Any]] = []

    def next(self) -> bytes:
        """Return who comes next."""
        chance, active = self.chance, self._active
        if len(active) < _AT_ONCE:
            self._number += 977
            visits = chance.choice([1, 1, 2, 2, 3, 4]) if chance.randrange(_OFFENDER_EVERY) else 16
            active.append([self._number.to_bytes(4), visits])
        place = chance.randrange(len(active))
        source: bytes = active[place][0]
        active[place][1] -= 1
        if not active[place][1]:
            active[place] = active[-1]
            active.pop()
        return source


def _failures(strangers: _Strangers, now_s: float, count: int) -> list[Any]:
    names = strangers.chance.choices(["root", "admin", "test"], k=count)
    return [AuthFailure(now_s, "sshd", strangers.next(), Strength.PROVEN, "journal", name) for name in names]


def _packets(strangers: _Strangers, now_s: float, count: int) -> list[Any]:
    port = strangers.chance.randrange
    return [
        PacketLogged(now_s, "drop: ", "eth0", "", strangers.next(), _OWN, 6, port(1024, 65536), port(1, 2000), 2)
        for _ in range(count)
    ]


def _drops(strangers: _Strangers, now_s: float, count: int) -> list[Any]:
    bit = strangers.chance.randrange
    packets = (0, 1, 0, 0, 0, 0)
    return [DropsObserved(now_s, strangers.next(), packets, closed_ports=1 << bit(64)) for _ in range(count)]


def _senders(strangers: _Strangers, now_s: float, count: int) -> list[Any]:
    return [SenderObserved(now_s, strangers.next(), 1, 0) for _ in range(count)]


def _flows(strangers: _Strangers, now_s: float, count: int) -> list[Any]:
    """Return one batch of flows: a third each opened, completed and incomplete."""
    third, port = count // 3, strangers.chance.randrange
    opened: list[Flow] = []
    completed: list[Flow] = []
    for number in range(third):
        source, source_port = strangers.next(), port(1024, 65536)
        ends = (source, _OWN, 6, source_port, 443, _OWN, source, 443, source_port, number)
        opened.append(FlowOpened(now_s, None, *ends))
        completed.append(FlowEstablished(now_s, None, *ends, status=2, state=3))
    attempts = [FlowIncomplete(now_s, strangers.next(), _OWN, 6, port(1, 2000)) for _ in range(count - 2 * third)]
    return [
        FlowBatch(now_s, attempts=third, completions=third, opened=opened, completed=completed, incomplete=attempts)
    ]


def _recording(makers: Sequence[_Make]) -> list[bytes]:
    """Return the inputs of a run, a tick each second."""
    settings, strangers = Settings(), _Strangers()
    filters = RecordedFilters(settings.detectors.failures, ())
    inputs: list[Any] = [
        Started(_START_S, "bench", "1.0"),
        configured(settings, filters, _START_S),
        Surrounded(_START_S, [AllowEntry(host(_OWN), OWN_ADDRESS)]),
    ]
    ticked_s = now_s = _START_S
    for make in islice(cycle(makers), _EVENTS // _BATCH):
        now_s += _BATCH / _PER_S
        inputs.append(Events(now_s, make(strangers, now_s, _BATCH)))
        while ticked_s + 1 <= now_s:
            ticked_s += 1
            inputs.append(Ticked(ticked_s))
    return [encode(one) for one in inputs]


def _replayed(recording: Sequence[bytes]) -> tuple[float, float]:
    """Return events per CPU second, and how long the start took (CPU seconds)."""
    began_s = time.process_time()
    engine = Replay()
    for one in recording[:_START_INPUTS]:
        engine.feed(decode(one))
    start_s = time.process_time()
    with rare_collections():
        count = sum(len(engine.feed(decode(one))) for one in recording[_START_INPUTS:])
    took_s = time.process_time() - start_s
    if engine.result.failures or not count:
        raise BenchmarkError(f"{engine.result.failures} inputs failed, {count} outcomes")
    return _EVENTS // _BATCH * _BATCH / took_s, start_s - began_s


def _fed(recording: Sequence[bytes]) -> float:
    """Return events per CPU second that detectors alone count."""
    inputs = [decode(one) for one in recording]
    engine = Replay()
    for one in inputs[:_START_INPUTS]:
        engine.feed(one)
    pipeline = engine.pipeline
    if pipeline is None:
        raise BenchmarkError("there is no pipeline")
    dispatch = Dispatch(pipeline.detectors)
    start_s = time.process_time()
    for one in inputs:
        if isinstance(one, Events):
            batches = (
                [one.events, *(batch.incomplete for batch in one.events)] if one.kind == FLOW_BATCH else [one.events]
            )
            for batch in batches:
                for _ in dispatch.feed(batch):
                    pass
    return _EVENTS // _BATCH * _BATCH / (time.process_time() - start_s)
