"""Carries out a comparison: both sides at once, in two processes, then what differs and who is concerned."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from monitor.daemon.sources.recorded_settings import read_settings
from monitor.daemon.tuning.ban_history import BanHistory
from monitor.daemon.tuning.compare import Change, Comparison, Side, Totals, compare
from monitor.daemon.tuning.known_good import KnownGood, Mark, Witness, unlike_pseudonyms
from monitor.daemon.tuning.label_file import read_label_file, read_labels
from monitor.daemon.tuning.side import Facts, SideReply, SideRequest, Watch, run_side
from monitor.model.addresses import Network
from monitor.model.bans import WORDS
from monitor.model.errors import TemporaryError
from monitor.recording.exchange import find
from monitor.settings.load import load

_MAX_NAMED = 5


class Question(msgspec.Struct, frozen=True):
    """What to compare.

    None for `old`: as recorded, for `labels`: those of this node, for `since_s` (wall time, seconds): all of it.
    """

    new: Path
    old: Path | None = None
    recording: str = ""
    """The name of an imported recording or a path; empty: that of this node."""
    labels: Path | None = None
    since_s: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """What differs, and what it rests on."""

    question: Question
    comparison: Comparison
    facts: Facts
    unfed: dict[str, str]
    """Detectors of the new configuration that cannot find anything in the recording, each with the reason."""
    warnings: list[str]


def answer(question: Question, watch: Watch = lambda _, inputs: inputs) -> Answer:
    """Compare two configurations; `watch` follows the inputs of a recording while they are read.

    ConfigError for a configuration that is wrong, LabelsError, RecordingError or EmptyRecordingError where there is
    nothing to judge by, TemporaryError if the other process is killed.
    """
    settings = load(question.new).settings
    if question.old is not None:
        load(question.old)  # all that is wrong is said before anything takes time
    directory = settings.state.directory
    recording = find(directory / settings.recording.directory, question.recording).path
    labels = read_labels(directory) if question.labels is None else read_label_file(question.labels)
    witness = Witness(labels)
    old = SideRequest(str(recording), None if question.old is None else str(question.old), question.since_s)
    new = SideRequest(str(recording), str(question.new), question.since_s)
    with _other(new) as child:
        with quiet():
            old_history, old_facts = run_side(old, witness, watch)
        new_history, new_facts = _reply(child)
    judges = [witness.known_good(settings)]
    if question.old is not None:
        judges.append(witness.known_good(load(question.old).settings))
    elif witness.configured is not None:
        judges.append(witness.known_good(read_settings(witness.configured)))
    comparison = compare(old_history, new_history, _any_of(judges))
    warnings = list(_warnings(old_facts, new_facts, comparison, witness.clients.refused_total))
    if old_facts.has_pseudonyms and (text := unlike_pseudonyms(settings, labels)):
        warnings.append(text)
    return Answer(question, comparison, old_facts, new_facts.unfed, warnings)


def _any_of(judges: list[KnownGood]) -> Any:
    """Return what any of the configurations knows of a network: one that is allowed by either is not to be banned."""

    def marks(network: Network, at_s: float) -> tuple[Mark, ...]:
        return tuple(dict.fromkeys(mark for judge in judges for mark in judge.marks(network, at_s)))

    return marks


@contextmanager
def _other(request: SideRequest) -> Iterator[subprocess.Popen[bytes]]:
    """Run one side in a process of its own; it is killed if anything fails here."""
    # -P: what lies in the current directory is not ours
    command = [sys.executable, "-P", "-m", "monitor.daemon.tuning.side"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 - our own
        try:
            assert child.stdin is not None  # noqa: S101 - a pipe
            with suppress(BrokenPipeError):  # it ended already, which `_reply` reports
                child.stdin.write(msgspec.msgpack.encode(request))
                child.stdin.close()
            yield child
        finally:
            child.kill()


def _reply(child: subprocess.Popen[bytes]) -> tuple[BanHistory, Facts]:
    assert child.stdout is not None  # noqa: S101 - a pipe
    data = child.stdout.read()
    if child.wait():
        raise TemporaryError(f"the process of the new configuration ended with {child.returncode}: is memory short?")
    reply = msgspec.msgpack.decode(data, type=SideReply)
    if reply.history is None or reply.facts is None:
        raise TemporaryError(reply.error)
    return reply.history, reply.facts


@contextmanager
def quiet() -> Iterator[None]:
    """Have the pipeline log nothing: what it says of bans is no news here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _warnings(old: Facts, new: Facts, found: Comparison, forgotten: int) -> Iterator[str]:
    """Yield what makes the comparison say less than it seems to."""
    for name, unfed in _by_side(old.unfed, new.unfed):
        for reason, detectors in unfed.items():
            more = f" and {len(detectors) - _MAX_NAMED} more" if len(detectors) > _MAX_NAMED else ""
            yield f"{', '.join(detectors[:_MAX_NAMED])}{more} of {name} can find nothing here: {reason}"
    for name, side in (("OLD", old), ("NEW", new)):
        for what, fault in side.absent.items():
            yield f"{name}: {what} is not there on this machine, so that its detectors are missing: {fault}"
        if side.failures:
            yield f"{name}: {side.failures} inputs could not be replayed"
    yield from _lacking(old)
    if forgotten:
        yield f"there were more clients than are remembered: {forgotten} times one was left out"
    for name, total in (("OLD", found.old), ("NEW", found.new)):
        if total.omitted:
            yield f"{name}: {total.omitted} bans are beyond what can be compared"


def _by_side(old: dict[str, str], new: dict[str, str]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the detectors of both, and those of one side only, by what they lack."""
    both = old.items() & new.items()
    for name, pairs in (("OLD and NEW", both), ("OLD", old.items() - both), ("NEW", new.items() - both)):
        by_reason: dict[str, list[str]] = {}
        for detector, reason in sorted(pairs):
            by_reason.setdefault(reason, []).append(detector)
        yield name, by_reason


def _lacking(old: Facts) -> Iterator[str]:
    """Yield what the recording itself lacks."""
    if old.gaps:
        yield f"the recording has {old.gaps} gaps; at least {old.lacking} events are missing"
    if flooded := sum(old.floods.values()):
        yield f"{flooded} events of floods were only counted when it was recorded; no detector sees them"
    if old.warm_s is not None and old.warm_s > old.since_s:
        hours = (old.warm_s - old.since_s) / 3600
        yield f"the recording starts in the middle of a run: for the first {hours:.1f} h windows are not full yet"
    if len(old.versions) > 1:
        yield f"it was recorded by several versions: {', '.join(old.versions)}"


def as_data(found: Answer) -> dict[str, Any]:
    """Return an answer as plain data, for JSON."""
    comparison, facts = found.comparison, found.facts
    old_name = "as recorded" if found.question.old is None else str(found.question.old)
    return {
        "recording": {
            "node": ", ".join(facts.nodes),
            "since_s": facts.since_s,
            "until_s": facts.until_s,
            "events": facts.events,
            "configurations": facts.reloads,
            "unfed": found.unfed,
            "warnings": found.warnings,
        },
        "old": {"name": old_name} | _totals(comparison.old),
        "new": {"name": str(found.question.new)} | _totals(comparison.new),
        "kinds": {kind.value: count for kind, count in sorted(comparison.kinds.items())},
        "unchanged": comparison.unchanged,
        "by_detector": {
            name: {kind.value: count for kind, count in counts.items()}
            for name, counts in comparison.by_detector.items()
        },
        "harmed": {mark.value: count for mark, count in comparison.harmed.items()},
        "known_good": comparison.known_good,
        "lost_bad": comparison.lost_bad,
        "changes": [_change(change) for change in comparison.changes],
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return msgspec.structs.asdict(totals) | {"budget": msgspec.structs.asdict(totals.budget)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "network": str(change.network),
        "kinds": [kind.value for kind in change.kinds],
        "detector": change.detector,
        "marks": [mark.value for mark in change.marks],
        "old": _side(change.old),
        "new": _side(change.new),
    }


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    return msgspec.structs.asdict(side) | {"strength": side.strength.value, "kind": WORDS[side.strength]}
