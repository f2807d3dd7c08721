"""A replay decides what the live pipeline decided under any configuration, and in any process."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import msgspec
import pytest

from monitor.daemon.replay.engine import replay
from monitor.recording.wire import decode
from tests.support.days import Day, differences
from tests.support.wide_days import WideDay

_STEPS = 250
_SEEDS = range(2)


@cache
def _day(seed: int) -> Day:
    return WideDay(seed).run(_STEPS)


def _digest(outcomes: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(outcomes)).hexdigest()


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_replay_of_a_day_with_any_configuration_has_its_outcomes(seed: int) -> None:
    """Rules for networks, bans of ports, full ledgers, clocks that are years off: nothing makes a difference."""
    day = _day(seed)
    assert differences(replay(day.inputs).outcomes, day.outcomes) == []
    verdicts = Counter(one.verdict for one in day.outcomes)
    assert len(verdicts) > 8, verdicts


def test_a_replay_in_another_process_has_the_same_outcomes(tmp_path: Path) -> None:
    """Nothing is decided in the order of a set, which each process has its own of."""
    for seed in _SEEDS:
        (tmp_path / str(seed)).write_bytes(msgspec.msgpack.encode(_day(seed).recorded))
    found = subprocess.run(
        [sys.executable, "-m", __name__, *(str(tmp_path / str(seed)) for seed in _SEEDS)],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout == "".join(f"{_digest(_day(seed).outcomes)}\n" for seed in _SEEDS)


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        _rows = msgspec.msgpack.decode(Path(_name).read_bytes(), type=list[bytes])
        print(_digest(replay([decode(one) for one in _rows]).outcomes))
