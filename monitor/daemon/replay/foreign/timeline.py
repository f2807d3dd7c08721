"""Batches of several files as one list of inputs, with the seconds between them. Pure."""

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence

from monitor import __version__
from monitor.daemon.replay.foreign.file_report import Batch
from monitor.model.bans import AllowEntry
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.recording.inputs import Events, Input, Started, Surrounded, Ticked

_SETTLE_S = 5
"""How long the clock runs on after the last event: what waits for other evidence counts by then."""
_COARSENESS = 60
"""In a silence the clock advances by this part of it at a time: bans end on time, and a year of it costs nothing."""


def timeline(
    feeds: Sequence[Iterable[Batch]],
    entries: Sequence[AllowEntry],
    networks: NodeNetworks,
    node: str,
    *,
    between_s: tuple[float, float] = (0.0, math.inf),
) -> Iterator[Input]:
    """Yield what a daemon would have been told that read all this as it came; nothing if there is nothing.

    `between_s`: only what came from the first time to before the second.
    """
    last_s: float | None = None
    for time_s, events in heapq.merge(*map(_ascending, feeds), key=_time_s):
        if not between_s[0] <= time_s < between_s[1]:
            continue
        if last_s is None:
            yield Started(time_s, node, __version__)
            yield Surrounded(time_s, list(entries), networks, Sysctls())
        else:
            yield from seconds(last_s, time_s)
        yield Events(time_s, events)
        last_s = time_s
    if last_s is not None:
        yield from seconds(last_s, last_s + _SETTLE_S)


def seconds(from_s: float, until_s: float) -> Iterator[Ticked]:
    """Yield the full seconds after one time up to another; of a long silence, not all."""
    start = math.floor(from_s)
    now_s = start + 1
    while now_s <= until_s:
        yield Ticked(float(now_s))
        now_s += max(1, (now_s - start) // _COARSENESS)


def _ascending(feed: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches with times that never go back: what is late counts as of the time that was reached."""
    reached_s = float("-inf")
    for time_s, events in feed:
        reached_s = max(reached_s, time_s)
        yield reached_s, events


def _time_s(batch: Batch) -> float:
    return batch[0]
