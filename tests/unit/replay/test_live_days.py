"""A replay decides what the live pipeline decided, ban for ban."""

from collections import Counter
from functools import cache

import pytest

from monitor.daemon.replay.engine import replay
from monitor.daemon.replay.outcome import Kind, Outcome
from monitor.recording.inputs import ClockSet, Drew, Listening, Lost, Ordered, Refused, Restored, Surrounded
from tests.support.days import Day, differences

_STEPS = 300


@cache
def _day(seed: int) -> Day:
    return Day(seed).run(_STEPS)


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_of_a_random_day_has_the_outcomes_of_the_day(seed: int) -> None:
    """Alerts, decisions and ends: the same, at the same time, as strong and as long."""
    day = _day(seed)
    result = replay(day.inputs)
    assert differences(result.outcomes, day.outcomes) == []
    kinds = Counter(one.kind for one in day.outcomes)
    assert all(kinds[kind] for kind in (Kind.ALERT, Kind.DECISION, Kind.ENDED)), kinds
    assert result.events.total() > 1000
    assert result.gaps_total == 0


@pytest.mark.parametrize("missing", [Refused, Drew, Lost, ClockSet, Listening, Ordered, Restored, Surrounded])
def test_whatever_is_left_out_is_missed(missing: type) -> None:
    """Each type of input is needed: without it, another ban is decided on some day. So the days above prove it."""

    def lacks(seed: int) -> list[Outcome]:
        day = _day(seed)
        inputs = day.inputs
        kept = [one for number, one in enumerate(inputs) if not isinstance(one, missing) or number < 3]
        return differences(replay(kept).outcomes, day.outcomes) if len(kept) < len(inputs) else []

    assert any(lacks(seed) for seed in range(4))
