"""Recordings for tests: a writer with a clock of its own, and what it wrote."""

from collections.abc import Iterable
from pathlib import Path
from random import Random

from monitor.recording.inputs import Configured, Events, Input, Skipped, Started, Surrounded, Ticked
from monitor.recording.ring import Ring
from monitor.recording.segments import Header
from monitor.recording.writer import Writer
from tests.support.events import tcp

DAY_S = 86_400.0
START_S = 1_790_000_000.0


def header(time_s: float) -> Header:
    """Return the header of a segment."""
    return Header("node-1", "1.0", time_s)


class Clock:
    """A clock that tests move: monotonic and wall."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def writer(directory: Path, clock: Clock, *, max_bytes: int = 64_000_000, events_per_s: int = 50_000) -> Writer:
    """Return a writer into a directory."""
    return Writer(Ring(directory, max_bytes, 7 * DAY_S), events_per_s, header, clock=clock, wall=clock)


def beginning(time_s: float = START_S) -> list[Input]:
    """Return what a start tells first."""
    return [
        Started(time_s, "node-1", "1.0"),
        Configured(time_s, {"mode": "enforce"}, "digest-1"),
        Surrounded(time_s, []),
    ]


def knocks(source: str, count: int, time_s: float) -> Events:
    """Return a batch of logged packets of one source to successive ports, from ports that do not compress."""
    random = Random(f"{source} {time_s}")
    ports = [random.randrange(1024, 65_536) for _ in range(count)]
    return Events(
        time_s, [tcp(source, 1000 + place, time_s=time_s, source_port=port) for place, port in enumerate(ports)]
    )


def second(time_s: float, *batches: Events) -> list[Input]:
    """Return the inputs of a second."""
    return [*batches, Ticked(time_s + 0.9)]


def write_seconds(one: Writer, clock: Clock, seconds: int, each: int = 3) -> list[Input]:
    """Write seconds with a batch each; return the inputs."""
    told: list[Input] = []
    for _ in range(seconds):
        inputs = second(clock.now_s, knocks("192.0.2.7", each, clock.now_s))
        one.write(inputs)
        told += inputs
        clock.now_s += 1.0
    return told


def without_keys(inputs: Iterable[Input | Skipped]) -> list[Input | Skipped]:
    """Return inputs but those that only repeat what is in force."""
    return [one for one in inputs if not getattr(one, "is_continued", False)]
