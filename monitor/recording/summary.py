"""What a recording holds: read once, from one end to the other."""

from collections import Counter
from typing import Any

import msgspec

from monitor.recording.flood import weight
from monitor.recording.inputs import (
    FLOW_BATCH,
    ClockSet,
    Configured,
    Events,
    Flood,
    Gap,
    Ordered,
    Skipped,
    Started,
    Withdrawn,
)
from monitor.recording.reader import Recording, recorded_bytes

_MAX_GAPS = 100


class Summary(msgspec.Struct):
    """A recording in numbers; times are wall time in seconds."""

    size_bytes: int = 0
    segments: int = 0
    has_pseudonyms: bool = False
    nodes: list[str] = []
    versions: list[str] = []
    first_s: float | None = None
    last_s: float | None = None
    inputs: int = 0
    """Without gaps, which are counted apart."""
    events: dict[str, int] = {}
    """By kind; of flows each message about a connection counts."""
    only_counted: int = 0
    starts: int = 0
    configurations: int = 0
    orders: int = 0
    clock_steps: int = 0
    missing: int = 0
    """Events that are missing, as far as their number is known."""
    damaged: int = 0
    gaps: list[dict[str, Any]] = []
    """The first 100."""
    gaps_total: int = 0


def summarize(recording: Recording, since_s: float = float("-inf"), until_s: float = float("inf")) -> Summary:
    """Read all of a recording. Raises RecordingError if nothing of it can be read."""
    found = Summary(size_bytes=recorded_bytes(recording.segments), segments=len(recording.segments))
    found.has_pseudonyms = recording.has_pseudonyms
    events: Counter[str] = Counter()
    digests: set[str] = set()
    for one in recording.inputs(since_s, until_s, wanted={FLOW_BATCH}):
        found.inputs += type(one) is not Gap
        found.first_s = one.time_s if found.first_s is None else min(found.first_s, one.time_s)
        found.last_s = one.time_s if found.last_s is None else max(found.last_s, one.time_s)
        match one:
            case Skipped():
                events[one.kind] += one.count
            case Events():
                events[one.kind] += weight(one)
            case Configured():
                digests.add(one.digest)
            case _:
                _note(found, one)
    found.events = dict(sorted(events.items()))
    found.configurations = len(digests)
    found.damaged = recording.damaged_frames
    return found


def _note(found: Summary, one: Any) -> None:
    match one:
        case Started():
            found.starts += not one.is_continued
            for known, name in ((found.nodes, one.node), (found.versions, one.version)):
                if name not in known and len(known) < _MAX_GAPS:
                    known.append(name)
        case Flood():
            found.only_counted += max(0, one.others + sum(count for _, count in one.sources))
        case Gap():
            found.gaps_total += 1
            found.missing += max(0, one.count)
            if len(found.gaps) < _MAX_GAPS:
                found.gaps.append({"time_s": one.time_s, "where": one.where, "count": one.count, "reason": one.reason})
        case Ordered() | Withdrawn():
            found.orders += 1
        case ClockSet():
            found.clock_steps += 1
