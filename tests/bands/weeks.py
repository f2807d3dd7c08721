"""Synthetic weeks of one signal, minute by minute: what happens on nodes without any attack, and attacks on them.

Everything is made from a seed, so a table of figures comes out the same each time.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
_LEVEL = 200.0
"""Flows a second, on average."""
_CV = 1.5
"""Coefficient of variation of what comes in bursts."""

Levels = list[float | None]
"""A rate a second for each minute; None: no sample."""


@dataclass(frozen=True)
class Attack:
    """When an attack starts, and until when it must have been found, both in minutes."""

    start: int
    end: int


@dataclass(frozen=True)
class Node:
    """What happens on a node: its name in the table, the signal, its levels, the first minute measured, its attacks."""

    name: str
    levels: Levels
    measured_from: int
    attacks: tuple[Attack, ...] = ()
    signal: str = "flows"


def rhythm(minutes: int, dice: random.Random, *, weekend: float = 0.5) -> list[float]:
    """Return a daily rhythm of ±60 %, weekends at `weekend`, 10 % of noise a minute and 5 % from day to day."""
    days = [math.exp(dice.gauss(0, 0.05)) for _ in range(minutes // DAY_MIN + 1)]

    def level(minute: int) -> float:
        day = minute // DAY_MIN
        usual = _LEVEL * (1 + 0.6 * math.sin(2 * math.pi * minute / DAY_MIN)) * days[day]
        return usual * (weekend if day % 7 >= 5 else 1) * max(0.0, dice.gauss(1, 0.1))

    return [level(minute) for minute in range(minutes)]


def _growing(levels: Sequence[float]) -> Levels:
    return [level * 1.03 ** (minute / DAY_MIN) for minute, level in enumerate(levels)]


def _times(levels: Sequence[float], factor: float, which: Callable[[int], bool]) -> Levels:
    return [level * factor if which(minute) else level for minute, level in enumerate(levels)]


def _bursts(minutes: int, dice: random.Random, *, memory: float) -> Levels:
    """Return log-normal counts; `memory` is the correlation from minute to minute."""
    sigma, state = math.sqrt(math.log(1 + _CV**2)), 0.0
    levels: Levels = []
    for _ in range(minutes):
        state = memory * state + math.sqrt(1 - memory**2) * dice.gauss(0, 1)
        levels.append(_LEVEL * math.exp(sigma * state - sigma**2 / 2))
    return levels


def quiet_nodes(weeks: int) -> list[Node]:
    """Return nodes that nobody attacks; measured are all weeks but the first, and the first of some."""
    minutes, begin, middle = weeks * WEEK_MIN, WEEK_MIN, WEEK_MIN + 2 * DAY_MIN
    plain = rhythm(minutes, random.Random(1))
    later = rhythm(minutes + 60, random.Random(2))[60:]
    away = range(middle, middle + DAY_MIN // 2)
    return [
        Node("daily rhythm ±60 %, weekends at half", [*plain], begin),
        Node("growth of 3 % a day", _growing(rhythm(minutes, random.Random(3))), begin),
        Node("a job every hour: fivefold for 5 min", _times(plain, 5, lambda at: at % 60 < 5), begin),
        Node("a backup every night: tenfold for 1 h", _times(plain, 10, lambda at: 180 <= at % DAY_MIN < 240), begin),
        Node("bursts, CV 150 %", _bursts(minutes, random.Random(4), memory=0.0), begin),
        Node("bursts of minutes, CV 150 %", _bursts(minutes, random.Random(5), memory=0.8), begin),
        Node("a release: 40 % more for good", _times(plain, 1.4, lambda at: at >= middle), begin),
        Node("half of it moved away for good", _times(plain, 0.4, lambda at: at >= middle), begin),
        Node("a holiday at half", _times(plain, 0.5, lambda at: middle <= at < middle + DAY_MIN), begin),
        Node("summer time ends", [*plain[:middle], *later[middle:]], begin),
        Node("the node is off for 12 h", [None if at in away else level for at, level in enumerate(plain)], begin),
        Node("bans one by one, 0.5 a minute", _one_by_one(minutes), begin, signal="bans"),
        Node("the first week of a rhythm with weekend", [*plain[:WEEK_MIN]], 0),
        Node("the first week of bursts", _bursts(WEEK_MIN, random.Random(6), memory=0.0), 0),
    ]


def _one_by_one(minutes: int) -> Levels:
    dice = random.Random(7)
    return [sum(dice.random() < 0.5 / 6 for _ in range(6)) / 60 for _ in range(minutes)]


def attacked_nodes(weeks: int) -> list[Node]:
    """Return nodes with twelve attacks in two weeks, one a day at another hour each, so that none hides another."""
    minutes = weeks * WEEK_MIN
    days = range(min(12, (weeks - 1) * 7 - 1))
    starts = [WEEK_MIN + day * DAY_MIN + (day * 5 * 60 + 130) % DAY_MIN for day in days]
    twice = [WEEK_MIN + day * DAY_MIN + day * 2 * 60 + 10 for day in days]
    young = [DAY_MIN + 430 + number * 29 * 60 for number in range(5)]
    ramp = [1 + at / 60 for at in range(120)] + [3.0] * 60
    return [
        _node("service down: nothing for 15 min", minutes, starts, [0.0] * 15),
        _node("down to a tenth for 15 min", minutes, starts, [0.1] * 15),
        _node("threefold for 10 min", minutes, starts, [3.0] * 10),
        _node("ramp to threefold in 2 h, kept for 1 h", minutes, starts, ramp),
        _again("sixfold for 1 h, on the next day again", minutes, twice, [6.0] * 60),
        _waves("waves of 20 bans a minute for 10 min", minutes, starts),
        _node("first week: sixfold for 10 min", WEEK_MIN, young, [6.0] * 10),
        _node("first week: nothing for 15 min", WEEK_MIN, young, [0.0] * 15),
    ]


def _node(name: str, minutes: int, starts: Sequence[int], factors: Sequence[float]) -> Node:
    levels = rhythm(minutes, random.Random(8))
    for start in starts:
        for after, factor in enumerate(factors):
            levels[start + after] *= factor
    return Node(name, [*levels], 0, tuple(Attack(start, start + len(factors)) for start in starts))


def _again(name: str, minutes: int, starts: Sequence[int], factors: Sequence[float]) -> Node:
    """Return a node on which each attack comes on two days; to be found is the second."""
    both = [*starts, *(start + DAY_MIN for start in starts)]
    node = _node(name, minutes, both, factors)
    return Node(name, node.levels, 0, node.attacks[len(starts) :])


def _waves(name: str, minutes: int, starts: Sequence[int]) -> Node:
    levels = _one_by_one(minutes)
    for start in starts:
        levels[start : start + 10] = [20 / 60] * 10
    return Node(name, levels, 0, tuple(Attack(start, start + 10) for start in starts), "bans")
