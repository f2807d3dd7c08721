"""A recording of a synthetic fortnight, as the daemon would have written it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import configured
from monitor.model.addresses import format_address, parse_network
from monitor.model.bans import AllowEntry
from monitor.model.events import AuthFailure
from monitor.model.flows import FlowBatch, FlowEstablished
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import Events, Input, Started, Surrounded, Ticked
from monitor.settings.schema import Settings
from tests.support.flows import flow
from tests.support.fortnight import DAY_S, START_S, Fortnight
from tests.support.recordings import Clock, writer

NODE = "198.18.0.1"
_VISIT_EVERY_S = DAY_S / 2


def inputs(labelled: Fortnight, settings: Settings, days: int) -> Iterator[Input]:
    """Yield what a daemon with these settings was told: failures, and the connections of clients and probes.

    Clients and probes connect every half day; those of offenders are never complete.
    """
    yield Started(START_S, "node-1", "1.0")
    yield configured(settings, LogFilters(settings), START_S)
    yield Surrounded(START_S, [AllowEntry(parse_network(NODE), OWN_ADDRESS)])
    parts: list[tuple[float, AuthFailure | FlowBatch]] = [(one.time_s, one) for one in labelled.failures]
    steady = sorted(labelled.clients | labelled.monitors)
    for number in range(int(days * DAY_S / _VISIT_EVERY_S)):
        at_s = START_S + (number + 0.5) * _VISIT_EVERY_S
        parts.append((at_s, _visits(steady, at_s)))
    for time_s, one in sorted(parts, key=lambda part: part[0]):
        yield Events(time_s, [one])
    yield Ticked(START_S + days * DAY_S)


def _visits(sources: Iterable[bytes], time_s: float) -> FlowBatch:
    made = [
        flow(FlowEstablished, format_address(source), 22, to=NODE, time_s=time_s, id=number)
        for number, source in enumerate(sources, 1)
    ]
    return FlowBatch(time_s=time_s, completed=made, attempts=len(made), completions=len(made))


def record(directory: Path, told: Iterable[Input]) -> Path:
    """Write a recording into a directory; return it."""
    clock = Clock()
    one = writer(directory, clock)
    batch: list[Input] = []
    for each in told:
        if batch and (each.time_s - batch[0].time_s > 600 or len(batch) >= 5000):
            one.write(batch)
            batch = []
        clock.now_s = each.time_s
        batch.append(each)
    one.write(batch)
    one.close()
    return directory
