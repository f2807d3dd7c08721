"""The usual band of each signal: synthetic days, minute by minute, in promtool's own Prometheus."""

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.unit.rules import support
from tests.unit.rules.support import counter, gauge, holds, series, yields_nothing

HOUR = 60
SIGNALS = ("bans", "alerts", "drops", "stopped", "flows", "conntrack")
STEADY = ("bans", "alerts", "stopped")
"""Signals whose band is around the median."""
_USUAL = {"bans": 2.0 / 60, "alerts": 4.0 / 60, "drops": 100.0, "stopped": 20.0, "flows": 200.0, "conntrack": 0.3}
_ATTACK = {"bans": 40.0 / 60, "alerts": 60.0 / 60, "drops": 5e3, "stopped": 3e3, "flows": 3e3, "conntrack": 0.95}
_COUNTERS = {
    "bans": series("nodewarden_decisions_total", 'detector="port_scan",verdict="ban"'),
    "alerts": series("nodewarden_detector_alerts_total", 'detector="port_scan",mode="enforce",strength="spoofable"'),
    "drops": series("nodewarden_kernel_dropped_packets_total", 'reason="NO_SOCKET",foreign="no"'),
    "stopped": series("nodewarden_set_dropped_packets_total", 'set="shun4"'),
    "flows": series("nodewarden_flows_total", 'event="opened",protocol="tcp",direction="in"'),
}


def _day(minute: int) -> float:
    """Return how busy a minute of the day is: between half and one and a half."""
    return 1.0 + 0.5 * math.sin(2 * math.pi * minute / (24 * HOUR))


def levels(minutes: int, is_attacked: Callable[[int], bool], *, seed: int = 1) -> dict[str, list[float]]:
    """Return rates a second (of conntrack: the share) minute by minute: a rhythm, noise of a tenth, and attacks."""
    chance = random.Random(seed)

    def one(signal: str, minute: int) -> float:
        if is_attacked(minute):
            return _ATTACK[signal]
        if signal in ("bans", "alerts"):  # they come one by one
            return sum(chance.random() < _USUAL[signal] for _ in range(60)) / 60
        return _USUAL[signal] * _day(minute) * max(0.0, chance.gauss(1.0, 0.1))

    return {signal: [one(signal, minute) for minute in range(minutes)] for signal in SIGNALS}


def node(given: dict[str, list[float]], *, step_s: float = 60.0) -> dict[str, str]:
    """Return the series that a node with these levels has, a sample each step."""
    inputs = {name: counter(given[signal], step_s) for signal, name in _COUNTERS.items()}
    inputs[series("nodewarden_conntrack_entries")] = gauge(262144 * share for share in given["conntrack"])
    inputs[series("nodewarden_conntrack_entries_limit")] = f"262144x{len(given['conntrack'])}"
    inputs[series("nodewarden_table_up")] = f"1x{len(given['conntrack'])}"
    return inputs


def anomaly(signal: str) -> str:
    """Return how PromQL writes whether a signal is outside its band."""
    return f'nodewarden:signal:anomaly{{signal="{signal}"}}'


def never(minutes: int, *, until: int, most: int = 0) -> dict[str, object]:
    """Return the test that all signals together were outside their bands for so many minutes at most."""
    return holds(f"sum(sum_over_time(nodewarden:signal:anomaly[{minutes}m])) <= bool {most}", until)


def test_an_attack_after_a_day_is_found_on_every_signal(tmp_path: Path) -> None:
    """From its second minute to its end; the day before, with rhythm and noise, has at most five false minutes."""
    begin, end = 26 * HOUR, 26 * HOUR + 10
    inputs = node(levels(27 * HOUR, lambda minute: begin <= minute < end))
    found = [holds(f"{anomaly(signal)} == bool 1", at) for signal in SIGNALS for at in (begin + 2, end - 1)]
    over = [holds(f"{anomaly(signal)} == bool 0", end + 4) for signal in SIGNALS]
    history = [
        never(26 * HOUR - 1, until=begin - 1, most=5),
        holds("count(nodewarden:signal:lower) == bool 6", begin - 1),
        holds("count(nodewarden:signal:yesterday) == bool 6", begin - 1),
        holds('nodewarden:signal{signal="drops"} > bool 4000', end - 1),
        holds('nodewarden:signal{signal="bans"} > bool 30', end - 1),
    ]
    support.run(tmp_path, inputs, expressions=[*found, *over, *history])


def test_an_attack_is_marked_within_two_scrapes(tmp_path: Path) -> None:
    """With a scrape each 15 s and two quiet hours before: half a minute after it began, on every signal."""
    before, step_s = 150 * 4, 15.0
    given = {signal: [_USUAL[signal]] * before + [_ATTACK[signal]] * 8 for signal in SIGNALS}
    begin, two_scrapes = before * step_s / 60, 2 * step_s / 60
    expressions = [
        holds(f"{anomaly(signal)} == bool {found}", at)
        for at, found in ((begin - step_s / 60, 0), (begin + two_scrapes, 1))
        for signal in SIGNALS
    ]
    support.run(tmp_path, node(given, step_s=step_s), step="15s", expressions=expressions)


def test_the_rhythm_of_the_day_is_known_from_yesterday(tmp_path: Path) -> None:
    """A backup that multiplies drops and flows by ten every night is no anomaly the second time."""
    usual = levels(28 * HOUR, lambda _: False)
    for signal in ("drops", "flows"):
        for night in (3 * HOUR, 27 * HOUR):
            usual[signal][night : night + 60] = [10 * level for level in usual[signal][night : night + 60]]
    first = [holds(f"{anomaly(signal)} == bool 1", 3 * HOUR + 30) for signal in ("drops", "flows")]
    second = [holds(f"{anomaly(signal)} == bool 0", 27 * HOUR + at) for signal in ("drops", "flows") for at in (15, 45)]
    support.run(tmp_path, node(usual), expressions=[*first, *second])


def test_the_first_day_and_the_day_after_an_attack(tmp_path: Path) -> None:
    """Two hours are enough to find the first attack, also where there is no yesterday yet.

    The same hour of the next day is no fault because it is quiet; and another attack then is still found where the
    band is a median. Before there is any history nothing is outside of it.
    """
    begin, again = 3 * HOUR, 27 * HOUR + 30
    inputs = node(levels(28 * HOUR, lambda minute: begin <= minute < begin + 60 or again <= minute))
    expressions = [
        *(holds(f"{anomaly(signal)} == bool 0", 30) for signal in SIGNALS),
        yields_nothing("nodewarden:signal:upper", 30),
        *(holds(f"{anomaly(signal)} == bool 1", begin + 5) for signal in SIGNALS),
        yields_nothing("nodewarden:signal:yesterday", begin + 5),
        *(holds(f"{anomaly(signal)} == bool 0", 27 * HOUR + 15) for signal in SIGNALS),
        holds("count(nodewarden:signal:yesterday) == bool 6", 27 * HOUR + 15),
        *(holds(f"{anomaly(signal)} == bool 1", again + 3) for signal in STEADY),
    ]
    support.run(tmp_path, inputs, expressions=expressions)


def test_a_quiet_node_stays_quiet(tmp_path: Path) -> None:
    """Where next to nothing happens the odd ban or download is below the floors: not one false minute in a day."""
    chance = random.Random(2)
    usual = {signal: [0.0] * 27 * HOUR for signal in SIGNALS}
    for minute in range(27 * HOUR):
        usual["bans"][minute] = usual["alerts"][minute] = float(chance.random() < 0.02) * chance.randint(1, 4) / 60
        usual["drops"][minute] = chance.choice((0.0, 0.1, 30.0))
        usual["flows"][minute] = chance.choice((0.0, 1.0, 40.0))
        usual["conntrack"][minute] = chance.uniform(0.0, 0.05)
    bands = [holds("count(nodewarden:signal:upper) == bool 6", 26 * HOUR)]
    support.run(tmp_path, node(usual), expressions=[never(27 * HOUR - 1, until=27 * HOUR - 1), *bands])


def test_a_restart_is_no_anomaly(tmp_path: Path) -> None:
    """Every counter begins at 0 again: rates go on, and nothing leaves its band."""
    usual = levels(6 * HOUR, lambda _: False)
    inputs = {}
    for name, samples in node(usual).items():
        values = samples.split()
        if "total" in name:
            values[5 * HOUR :] = [f"{float(value) - float(values[5 * HOUR]):.6g}" for value in values[5 * HOUR :]]
        inputs[name] = " ".join(values)
    expressions = [
        never(15, until=5 * HOUR + 10),
        holds('nodewarden:signal{signal="drops"} > bool 50', 5 * HOUR + 1),
        holds('nodewarden:signal{signal="drops"} < bool 300', 5 * HOUR + 1),
    ]
    support.run(tmp_path, inputs, expressions=expressions)


def test_a_node_that_cannot_be_scraped_has_no_signals(tmp_path: Path) -> None:
    """Its signals end within minutes, so that a dead node is no quiet one; when it is back it is within its bands."""
    usual = levels(8 * HOUR, lambda _: False)
    away = range(5 * HOUR, 6 * HOUR)
    inputs = {name: " ".join(_without(samples, away)) for name, samples in node(usual).items()}
    expressions = [
        holds("count(nodewarden:signal) == bool 6", 5 * HOUR - 1),
        yields_nothing("nodewarden:signal", 5 * HOUR + 30),
        yields_nothing("nodewarden:signal:anomaly", 5 * HOUR + 30),
        never(30, until=6 * HOUR + 30),
        holds("count(nodewarden:signal:anomaly) == bool 6", 6 * HOUR + 30),
    ]
    support.run(tmp_path, inputs, expressions=expressions)


def test_without_a_median_yesterday_has_to_do(tmp_path: Path) -> None:
    """A node that was away for most of a day has too little for a median, but it has the hour of the day before."""
    end, away = 25 * HOUR, range(90, 24 * HOUR)
    inputs = {name: " ".join(_without(samples, away)) for name, samples in node(levels(end, lambda _: False)).items()}
    at = 24 * HOUR + 10
    expressions = [
        yields_nothing("nodewarden:signal:mad", at),
        *(holds(f'nodewarden:signal:upper{{signal="{signal}"}} > bool 0', at) for signal in STEADY),
        holds("count(nodewarden:signal:lower) == bool 6", at),
        never(8, until=at),
    ]
    support.run(tmp_path, inputs, expressions=expressions)


def test_each_node_has_bands_of_its_own(tmp_path: Path) -> None:
    """Of two nodes with the same name in two clusters, the one that is attacked is told of, and only that."""
    begin, other = 3 * HOUR, support.NODE.replace("default", "other")
    inputs = node(levels(begin + 10, lambda minute: begin <= minute))
    for name, samples in node(levels(begin + 10, lambda _: False, seed=2)).items():
        inputs[name.replace(support.NODE, other)] = samples
    expressions = [
        holds(f'nodewarden:signal:anomaly{{cluster="{cluster}",signal="{signal}"}} == bool {found}', begin + 5)
        for cluster, found in (("default", 1), ("other", 0))
        for signal in SIGNALS
    ]
    support.run(tmp_path, inputs, expressions=expressions)


def _without(samples: str, away: range) -> Iterator[str]:
    values = samples.split()
    if "x" in values[0]:
        value, _, count = values[0].partition("x")
        values = [value] * (int(count) + 1)
    for minute, value in enumerate(values):
        yield "stale" if minute == away.start else "_" if minute in away else value
