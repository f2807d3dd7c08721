"""The tap: a fault of the recorder costs no ban, and without a recorder nothing is noted."""

import logging

import pytest

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.recording.inputs import Configured, Events, Input, Started, Surrounded, Ticked
from monitor.settings.schema import Settings
from tests.support.events import failure

_NOW_S = 1000.0


class _Tape:
    """Keeps inputs, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.inputs: list[Input] = []
        self._fails = fails

    def take(self, one: Input) -> None:
        """Keep an input."""
        if self._fails:
            raise KeyError("a bug of the recorder")
        self.inputs.append(one)


def _pipeline() -> Pipeline:
    return Pipeline(Settings(), (), lambda ledger, allowlist: Enforcement(MemoryLeader()))


def _attack(pipeline: Pipeline) -> int:
    events = [failure("192.0.2.7", detector="sshd", log="journal", time_s=_NOW_S) for _ in range(9)]
    pipeline.process(events, _NOW_S)
    pipeline.tick(_NOW_S + 1)
    return len(pipeline.ledger)


def test_a_recorder_that_fails_costs_no_ban(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is to be banned is banned; the fault is counted each time and told once."""
    pipeline = _pipeline()
    with caplog.at_level(logging.ERROR):
        pipeline.record(_Tape(fails=True), "node", "1.0", _NOW_S)
        assert _attack(pipeline) == 1
    assert pipeline.tap.errors == 5
    assert len([one for one in caplog.records if "recorder failed" in one.message]) == 1


def test_a_recording_begins_with_what_is_in_force() -> None:
    """First the start, the configuration and the surroundings; then each input, a tick as one."""
    pipeline, tape = _pipeline(), _Tape()
    pipeline.record(tape, "node", "1.0", _NOW_S)
    _attack(pipeline)
    assert [type(one) for one in tape.inputs] == [Started, Configured, Surrounded, Events, Ticked]


def test_nothing_is_recorded_after_the_end() -> None:
    """Without a recorder the same is decided."""
    pipeline, tape = _pipeline(), _Tape()
    pipeline.record(tape, "node", "1.0", _NOW_S)
    pipeline.record(None, "node", "1.0", _NOW_S)
    assert _attack(pipeline) == 1
    assert len(tape.inputs) == 3
