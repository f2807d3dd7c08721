"""One side of a comparison: a recording through the pipeline, under one configuration.

`python -m monitor.daemon.tuning.side` is a side as a process of its own: it reads a `SideRequest` from standard input
and writes a `SideReply` to standard output, both as msgpack. A comparison has two sides, and a machine two cores.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec

from monitor.daemon.replay.engine import Replay
from monitor.daemon.replay.garbage import rare_collections
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.tuning.ban_history import BanCollector, BanHistory
from monitor.daemon.tuning.known_good import Witness
from monitor.model.errors import NodewardenError, explain
from monitor.recording.inputs import (
    Corrected,
    Drew,
    Events,
    Input,
    Lost,
    Refused,
    Restored,
    Skipped,
    Started,
    Ticked,
)
from monitor.recording.reader import Recording
from monitor.settings.load import load


class SideRequest(msgspec.Struct, frozen=True):
    """What to replay: a recording from `since_s` on (wall time, seconds; None: all), and under which main file."""

    recording: str
    config: str | None = None
    """None: the configuration that was recorded, reloads followed."""
    since_s: float | None = None


class Facts(msgspec.Struct, frozen=True):
    """What was read; times are wall time in seconds, `warm_s` is when windows had seen as much as live ones."""

    nodes: list[str]
    versions: list[str]
    since_s: float
    until_s: float
    warm_s: float | None
    events: dict[str, int]
    floods: dict[str, int]
    gaps: int
    lacking: int
    reloads: int
    """Recorded configurations, one after the other."""
    failures: int
    unfed: dict[str, str]
    """Detectors of this configuration that cannot find anything in the recording, each with the reason."""
    has_pseudonyms: bool = False
    absent: dict[str, str] = {}
    """What of this configuration cannot be made on this machine, such as jails of a fail2ban that is not here."""


class SideReply(msgspec.Struct, frozen=True):
    """What became of one side; `error` if nothing did."""

    history: BanHistory | None = None
    facts: Facts | None = None
    error: str = ""


Watch: TypeAlias = Callable[[Recording, Iterable[Input | Skipped]], Iterable[Input | Skipped]]
"""Follows the inputs of a recording, and hands them on."""


class EmptyRecordingError(NodewardenError):
    """There is no history to judge by."""


def as_one_run(inputs: Iterable[Input | Skipped]) -> Iterator[Input | Skipped]:
    """Yield the inputs as if the daemon had run throughout, its first start included.

    What a restart restores is what the recorded configuration had banned and counted: under another one it would be
    something else. What is in the windows at a restart is kept instead, on both sides.
    """
    is_running = False
    met: list[Input | Skipped] = []
    for one in inputs:
        kind = type(one)
        if kind in _MET:
            met.append(one)
            continue
        is_left_out = is_running and kind in _RESTARTING
        is_running = is_running or kind in _RUNNING
        if not is_left_out:
            yield from met
            yield one
        if met:
            met = []


_RUNNING = frozenset({Events, Ticked})
_RESTARTING = frozenset({Started, Restored, Corrected})
_MET = frozenset({Refused, Drew, Lost})
"""What the next input meets: it is left out with that."""


def run_side(
    request: SideRequest, witness: Witness | None = None, watch: Watch = lambda _, inputs: inputs
) -> tuple[BanHistory, Facts]:
    """Replay a recording; a witness sees all inputs, and `watch` follows them.

    ConfigError for a configuration that cannot be loaded, RecordingError for a recording that cannot be read,
    EmptyRecordingError if it has no events of the time.
    """
    settings = None if request.config is None else load(Path(request.config)).settings
    recording = Recording(Path(request.recording))
    since_s = float("-inf") if request.since_s is None else request.since_s
    filters = None if settings is None else LogFilters(settings)
    wanted = Replay(settings, filters=filters).wanted() if settings is not None and witness is None else None
    inputs = watch(recording, recording.inputs(since_s, wanted=wanted))
    if witness is not None:
        inputs = witness.watch(inputs)
    collector = BanCollector()
    engine = Replay(settings, filters=filters, listeners=(collector,))
    with rare_collections():
        for one in as_one_run(inputs):
            collector.now_s = one.time_s
            engine.feed(one)
    if not engine.result.events:
        raise EmptyRecordingError(f"{request.recording}: no events were recorded in that time; {recording.coverage()}")
    facts = msgspec.structs.replace(_facts(engine, filters), has_pseudonyms=recording.has_pseudonyms)
    return collector.history(engine.settings.bans.budget.bans_per_minute), facts


def _facts(engine: Replay, filters: LogFilters | None) -> Facts:
    result = engine.result
    return Facts(
        nodes=list(result.nodes),
        versions=list(result.versions),
        since_s=result.first_s or 0.0,
        until_s=result.last_s or 0.0,
        warm_s=result.warm_s,
        events=dict(result.events),
        floods=dict(result.floods),
        gaps=result.gaps_total,
        lacking=result.lacking,
        reloads=len(result.digests),
        failures=result.failures,
        unfed=engine.unfed(),
        absent=_absent(filters) if filters else {},
    )


def _absent(filters: LogFilters) -> dict[str, str]:
    """Return why detectors of logs could not be made; one whose filter cannot run here counts what was recorded."""
    return {name: fault for name, fault in filters.faults.items() if name not in filters.sections}


def main() -> int:
    """Run one side for another process; return the exit code."""
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=SideRequest)
    reply_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may be written to the reply
    logging.disable(logging.CRITICAL)  # what the pipeline says of bans is no news here
    try:
        history, facts = run_side(request)
        reply = SideReply(history, facts)
    except (NodewardenError, OSError) as error:
        reply = SideReply(error=explain(error))
    with reply_to:
        reply_to.write(msgspec.msgpack.encode(reply))
    return 0


if __name__ == "__main__":
    sys.exit(main())
