"""The points that a sweep tries: pairs of `findtime` and threshold around those in force, all of them valid. Pure."""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from monitor.config.shapes import Field, Leaf, group_of
from monitor.detectors.settings import DetectorSettings, WindowSettings

THRESHOLDS = ("maxretry", "answered_bytes")
"""The attributes of sections that say how much is too much; a section has one of them at most."""
_ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80)
_LEAST_SHARE, _MOST_TIMES = 5, 8
"""Thresholds from a fifth of the one in force to eight times as much are tried."""
_SPANS = (1 / 4, 1 / 2, 1.0, 2.0, 4.0, 12.0, 36.0, 144.0)
_FEW_SPANS = (1 / 2, 1.0, 2.0, 4.0)


class Point(NamedTuple):
    """One pair of thresholds: an alert at `maxretry` within `findtime_s`."""

    findtime_s: float
    maxretry: int


class Grid(msgspec.Struct, frozen=True):
    """The points of a sweep: each `findtime` with each threshold, both ascending."""

    findtimes_s: tuple[float, ...]
    maxretries: tuple[int, ...]
    today: Point
    """The values in force; they are among the others."""

    @property
    def points(self) -> tuple[Point, ...]:
        """All points."""
        return tuple(itertools.starmap(Point, itertools.product(self.findtimes_s, self.maxretries)))


def threshold_of(section: DetectorSettings) -> Field | None:
    """Return the key of a detector's section that holds its threshold; None if one event is enough for it."""
    return next((field for name in THRESHOLDS if (field := _field(section, name))), None)


def findtime_of(section: DetectorSettings) -> Field:
    """Return the key of a detector's section that holds its `findtime`."""
    field = _field(section, "findtime_s")
    if field is None:
        raise TypeError(f"{type(section).__name__} has no findtime")
    return field


def written(field: Field, value: float) -> bool | int | float | str:
    """Return a value in the configuration's notation; ValueError if the key does not take it."""
    if not isinstance(field.shape, Leaf):
        raise TypeError(f"{field.key} is no single value")
    kind: Any = field.shape.kind
    text = kind.write(value)
    if kind.read(str(text)) != value:
        raise ValueError(f"{value} has no exact notation")
    return text  # type: ignore[no-any-return]


def at(section: DetectorSettings, point: Point, **more: object) -> DetectorSettings:
    """Return a section with the values of a point, without rules for single networks: those count apart."""
    threshold = threshold_of(section)
    if threshold is None:
        raise TypeError(f"{type(section).__name__} has no threshold")
    changes = {"findtime_s": point.findtime_s, threshold.attribute: point.maxretry, "networks": {}, **more}
    return msgspec.structs.replace(section, **changes)


def grid_of(section: DetectorSettings, *, is_costly: bool = False, has_window: bool = True) -> Grid | None:
    """Return the points to try for a detector; None if it has no threshold.

    `is_costly`: each point costs as much as a detector, so there are fewer. `has_window`: `findtime` says within which
    time it counts; otherwise it has no effect on who is found, and is left as it is.
    """
    threshold = threshold_of(section)
    if threshold is None:
        return None
    today = Point(section.findtime_s, getattr(section, threshold.attribute))
    spans = (1.0,) if not has_window else _FEW_SPANS if is_costly else _SPANS
    findtimes = _valid(findtime_of(section), (float(round(today.findtime_s * one)) for one in spans))
    least, most = max(1, today.maxretry // _LEAST_SHARE), today.maxretry * _MOST_TIMES
    room = section.max_entries if isinstance(section, WindowSettings) else most + 1
    tried = (one for one in _round_numbers(least, most) if one < room)
    maxretries = _valid(threshold, itertools.islice(tried, 0, None, 2) if is_costly else tried)
    return Grid(tuple(sorted({*findtimes, today.findtime_s})), tuple(sorted({*maxretries, today.maxretry})), today)


def _field(section: DetectorSettings, attribute: str) -> Field | None:
    return next((one for one in group_of(type(section)).fields.values() if one.attribute == attribute), None)


def _round_numbers(least: int, most: int) -> Iterable[int]:
    yield from (one for one in range(1, 7) if least <= one <= most)
    yield from (one for one in (8,) if least <= one <= most)
    scale = 1
    while 10 * scale <= most:
        yield from (one * scale for one in _ROUND if least <= one * scale <= most)
        scale *= 10


def _valid(field: Field, values: Iterable[float]) -> list[Any]:
    """Return the values that the key takes."""
    found = []
    for value in values:
        try:
            written(field, value)
        except ValueError:
            continue
        found.append(value)
    return found
