"""The usual band of each signal: synthetic days of several nodes at once, in a real Prometheus."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.bands.measure import EPOCH_S, MINUTE_S, record
from tests.bands.server import Labels, Samples, Server
from tests.bands.weeks import DAY_MIN, Levels

HOUR = 60
SIGNALS = ("bans", "alerts", "drops", "stopped", "flows", "conntrack")
ATTACKERS = ("bans", "alerts")
"""Signals whose band is around the median."""
_USUAL = {"bans": 2.0 / 60, "alerts": 4.0 / 60, "drops": 100.0, "stopped": 20.0, "flows": 200.0, "conntrack": 0.3}
_ATTACK = {"bans": 40.0 / 60, "alerts": 60.0 / 60, "drops": 5e3, "stopped": 3e3, "flows": 3e3, "conntrack": 0.95}
_COUNTERS = {
    "bans": {"__name__": "nodewarden_decisions_total", "detector": "port_scan", "verdict": "ban"},
    "alerts": {"__name__": "nodewarden_detector_alerts_total", "detector": "port_scan", "strength": "spoofable"},
    "drops": {"__name__": "nodewarden_kernel_dropped_packets_total", "reason": "NO_SOCKET", "foreign": "no"},
    "stopped": {"__name__": "nodewarden_set_dropped_packets_total", "set": "shun4"},
    "flows": {"__name__": "nodewarden_flows_total", "event": "opened", "protocol": "tcp", "direction": "in"},
}
_ENTRIES = 262144
_DAYS_MIN = 28 * HOUR
_FIRST = range(3 * HOUR, 4 * HOUR)
_AGAIN = range(27 * HOUR, 27 * HOUR + 20)
_AWAY = range(5 * HOUR, 6 * HOUR)

Given = dict[str, Levels]
"""By signal: a rate a second (of conntrack: the share) for each minute; None: the node is not scraped."""


def levels(is_attacked: Callable[[int], bool] = lambda _: False, *, seed: int = 1) -> Given:
    """Return two days and a bit: a rhythm, noise of a tenth, and attacks."""
    chance = random.Random(seed)

    def one(signal: str, minute: int) -> float:
        if is_attacked(minute):
            return _ATTACK[signal]
        if signal in ATTACKERS:  # they come one by one
            return sum(chance.random() < _USUAL[signal] for _ in range(60)) / 60
        busy = 1.0 + 0.5 * math.sin(2 * math.pi * minute / DAY_MIN)
        return _USUAL[signal] * busy * max(0.0, chance.gauss(1.0, 0.1))

    return {signal: [one(signal, minute) for minute in range(_DAYS_MIN)] for signal in SIGNALS}


def _little() -> Given:
    """Return the odd ban or download, all below the floors."""
    chance = random.Random(2)
    given: Given = {signal: [] for signal in SIGNALS}
    for _ in range(_DAYS_MIN):
        ban = float(chance.random() < 0.02) * chance.randint(1, 4) / 60
        quiet = {"bans": ban, "alerts": ban, "drops": chance.choice((0.0, 0.1, 30.0)), "stopped": 0.0}
        quiet |= {"flows": chance.choice((0.0, 1.0, 40.0)), "conntrack": chance.uniform(0.0, 0.05)}
        for signal, level in quiet.items():
            given[signal].append(level)
    return given


NODES: dict[str, Given] = {
    "late": levels(lambda minute: minute in range(26 * HOUR, 26 * HOUR + 10)),
    "early": levels(lambda minute: minute in _FIRST or minute in _AGAIN),
    "quiet": _little(),
    "usual": levels(seed=3),
    "away": {
        signal: [None if minute in _AWAY else level for minute, level in enumerate(course)]
        for signal, course in levels(seed=4).items()
    },
}


def _series(name: str, given: Given, *, step_s: int, reset: int = 0) -> Iterator[tuple[Labels, Samples]]:
    """Yield the series of a node; at the step `reset` its counters start again."""
    labels = {"cluster": "default", "job": "nodewarden", "instance": name}
    times = [EPOCH_S + step * step_s for step in range(len(given["bans"]))]
    for signal, counter in _COUNTERS.items():
        yield labels | counter, list(_counted(given[signal], times, step_s, reset))
    for metric, factor, add in (("entries", _ENTRIES, 0.0), ("entries_limit", 0, _ENTRIES)):
        shares = zip(times, given["conntrack"], strict=True)
        samples = [(at_s, share * factor + add) for at_s, share in shares if share is not None]
        yield labels | {"__name__": f"nodewarden_conntrack_{metric}"}, samples


def _counted(course: Levels, times: Sequence[int], step_s: int, reset: int) -> Iterator[tuple[int, float]]:
    total = 0.0
    for number, (at_s, level) in enumerate(zip(times, course, strict=True)):
        total = 0.0 if number == reset else total
        if level is not None:
            total += level * step_s
            yield at_s, total


class Days:
    """What was recorded of the nodes."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def values(self, expression: str, first: int, last: int) -> list[float]:
        """Return every value of an expression from one minute to another, of all series."""
        begin_s, end_s = EPOCH_S + first * MINUTE_S, EPOCH_S + last * MINUTE_S
        found = self._server.over(expression, begin_s, end_s, MINUTE_S)
        return [value for _, samples in found for _, value in samples]

    def unusual(self, node: str, minute: int) -> set[str]:
        """Return the signals of a node that are outside their band in a minute."""
        at_s = EPOCH_S + minute * MINUTE_S
        expression = f'instance:nodewarden_signal:anomaly{{instance="{node}"}} == 1'
        return {labels["signal"] for labels, _ in self._server.over(expression, at_s, at_s, MINUTE_S)}

    def unusual_minutes(self, node: str, first: int, last: int) -> float:
        """Return in how many minutes signals of a node were outside their bands, all signals together."""
        return sum(self.values(f'instance:nodewarden_signal:anomaly{{instance="{node}"}}', first, last))


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Yield all nodes after 28 hours."""
    with Server(tmp_path_factory.mktemp("days")) as server:
        for name, given in NODES.items():
            server.write(_series(name, given, step_s=MINUTE_S), MINUTE_S)
        server.write(_series("restarted", levels(seed=5), step_s=MINUTE_S, reset=5 * HOUR), MINUTE_S)
        record(server, EPOCH_S + _DAYS_MIN * MINUTE_S)
        yield Days(server)


def test_an_attack_after_a_day_is_found_on_every_signal(days: Days) -> None:
    """From its second minute to its end; the day before, with rhythm and noise, has at most five false minutes."""
    begin, end = 26 * HOUR, 26 * HOUR + 10
    for minute in (begin + 2, end - 1):
        assert days.unusual("late", minute) == set(SIGNALS)
    assert days.unusual("late", end + 4) == set()
    assert days.unusual_minutes("late", 0, begin - 1) <= 5


def test_an_attack_is_marked_within_two_scrapes(tmp_path: Path) -> None:
    """With a scrape each 15 s and 150 quiet minutes before: half a minute after it started, on every signal."""
    before, step_s = 150 * 4, 15
    given: Given = {signal: [*[_USUAL[signal]] * before, *[_ATTACK[signal]] * 8] for signal in SIGNALS}
    begin_s = EPOCH_S + before * step_s
    with Server(tmp_path) as server:
        server.write(_series("node1", given, step_s=step_s), step_s)
        record(server, begin_s + 8 * step_s, scrape_s=step_s)
        found = server.over("sum(instance:nodewarden_signal:anomaly)", begin_s - step_s, begin_s + 2 * step_s, step_s)
    ((_, samples),) = found
    assert [samples[0], samples[-1]] == [(begin_s - step_s, 0), (begin_s + 2 * step_s, len(SIGNALS))]


def test_the_first_day_and_the_day_after_an_attack(days: Days) -> None:
    """Two hours are enough to find the first attack.

    The same hour of the next day is no fault because it is quiet, and another attack at that hour is found on every
    signal. Before there is any history nothing is outside of it.
    """
    assert days.unusual("early", 30) == set()
    assert days.values('instance:nodewarden_signal:upper{instance="early"}', 0, 30) == []
    assert days.unusual("early", _FIRST.start + 5) == set(SIGNALS)
    assert days.unusual_minutes("early", _AGAIN.start - 20, _AGAIN.start - 1) == 0
    assert days.unusual("early", _AGAIN.start + 4) == set(SIGNALS)


def test_the_band_in_force_is_named(days: Days) -> None:
    """On the second day it is that of the day, and for what attackers do the median."""
    bands = 'instance:nodewarden_signal:band{instance="usual",signal%s"bans|alerts"}'
    assert days.values(bands % "=~", 27 * HOUR, 27 * HOUR) == [1, 1]
    assert days.values(bands % "!~", 27 * HOUR, 27 * HOUR) == [2, 2, 2, 2]


def test_a_quiet_node_stays_quiet(days: Days) -> None:
    """Where next to nothing happens the odd ban or download is below the floors: not one false minute in a day."""
    assert days.unusual_minutes("quiet", 0, _DAYS_MIN) == 0
    assert len(days.values('instance:nodewarden_signal:upper{instance="quiet"}', 26 * HOUR, 26 * HOUR)) == len(SIGNALS)


def test_a_restart_is_no_anomaly(days: Days) -> None:
    """Every counter starts at 0 again: rates continue, and nothing leaves its band."""
    assert days.unusual_minutes("restarted", 5 * HOUR - 5, 5 * HOUR + 10) == 0
    (rate,) = days.values('instance:nodewarden_signal:last2m{instance="restarted",signal="drops"}', 301, 301)
    assert 50 < rate < 300


def test_a_node_that_cannot_be_scraped_has_no_signals(days: Days) -> None:
    """Its signals end within minutes, so that a dead node is no quiet one; when it is back it is within its bands."""
    signals = 'instance:nodewarden_signal:%s{instance="away"}'
    assert len(days.values(signals % "last2m", _AWAY.start - 1, _AWAY.start - 1)) == len(SIGNALS)
    for name in ("last2m", "anomaly"):
        assert days.values(signals % name, _AWAY.start + 10, _AWAY.stop - 1) == []
    assert days.unusual_minutes("away", _AWAY.stop, _AWAY.stop + 30) == 0
    assert len(days.values(signals % "anomaly", _AWAY.stop + 30, _AWAY.stop + 30)) == len(SIGNALS)


def test_each_node_has_bands_of_its_own(days: Days) -> None:
    """While one node is attacked, another one has not a signal outside its band."""
    assert days.unusual("late", 26 * HOUR + 5) == set(SIGNALS)
    assert days.unusual("usual", 26 * HOUR + 5) == set()
