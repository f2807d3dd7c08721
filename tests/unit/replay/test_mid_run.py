"""A recording that starts in the middle of a run: the replay knows what the daemon knew."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.daemon.life import recording as life
from monitor.daemon.life.key_state import key_state
from monitor.daemon.replay.engine import replay
from monitor.daemon.replay.outcome import Outcome
from monitor.recording.inputs import Input, Restored, Started, Ticked
from monitor.recording.reader import Recording
from monitor.recording.ring import segments
from monitor.settings.schema import Settings
from tests.support.days import Day
from tests.support.recordings import Clock, writer

_STEPS = 300
_MOST = 0.06
"""The part of outcomes that may differ: what a restart does not keep is not in a recording either, see `key_state`."""


class _RingDay(Day):
    """A day that is recorded into a ring, with what the run knows wherever the writer asks for it."""

    def __init__(self, seed: int, directory: Path) -> None:
        self._wall = Clock()
        self.writer = writer(directory, self._wall, max_bytes=1_000_000)
        self.known: list[tuple[float, int]] = []
        """When a state was recorded, and how many outcomes there were by then."""
        super().__init__(seed)

    def take(self, one: Input) -> None:
        """Record an input."""
        self._wall.now_s = one.time_s
        written = self.writer.write([one])
        if isinstance(one, Ticked) and written.wants_state:
            self.known.append((one.time_s, len(self.outcomes)))
            self.writer.write([key_state(self.pipeline, one.time_s)])


def _read(directory: Path) -> list[Any]:
    return list(Recording(directory).inputs())


def _differing(found: Iterable[Outcome], wanted: Iterable[Outcome]) -> int:
    """Return how many outcomes are missing or too many."""
    one, other = Counter(map(repr, found)), Counter(map(repr, wanted))
    return ((one - other) + (other - one)).total()


@pytest.mark.parametrize("seed", [6, 8])
def test_the_oldest_segments_are_gone(tmp_path: Path, seed: int) -> None:
    """From the first state that is left on, the replay decides what the daemon decided; without it, something else."""
    day = _RingDay(seed, tmp_path / "ring")
    day.run(_STEPS)
    day.writer.close()
    whole = replay(_read(tmp_path / "ring"))
    assert whole.outcomes == day.outcomes, "where nothing is missing, states are not read"
    assert whole.gaps_total == 0
    segments(tmp_path / "ring")[0].unlink()
    inputs = _read(tmp_path / "ring")
    since_s, before = day.known[0]
    assert isinstance(inputs[0], Started)
    assert (inputs[0].has_state, inputs[0].time_s >= since_s) == (True, True)
    assert sum(isinstance(one, Started) and one.is_continued for one in inputs) == 1, "later states are not needed"
    live = day.outcomes[before:]
    assert len(live) > 100
    found = _differing(replay(inputs).outcomes, live)
    assert found < _MOST * len(live)
    blind = [one for one in inputs if not (isinstance(one, Restored) and one.time_s == inputs[0].time_s)]
    assert _differing(replay(blind).outcomes, live) > found


def test_a_recording_that_is_started_by_command(tmp_path: Path) -> None:
    """It starts with the bans in force, past offences and what was counted."""
    day = Day(0).run(150)
    settings = msgspec.structs.replace(Settings(), state=msgspec.structs.replace(Settings().state, directory=tmp_path))
    recording = life.Recording(settings)
    before = len(day.outcomes)
    recording.open(day.pipeline, day.now_s)
    day.run(60)
    recording.close()
    live = day.outcomes[before:]
    assert len(live) > 100
    assert _differing(replay(_read(recording.directory)).outcomes, live) < _MOST * len(live)
