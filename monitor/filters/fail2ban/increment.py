"""Translates fail2ban's `bantime.increment` and the options that belong to it to our `bans.increment`.

fail2ban computes each ban time by a formula. What is a multiple of the ban time for each number of previous bans, and
most formulas are, becomes a factor or a list of multipliers here.
"""

import math
from typing import Any

import msgspec

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.document import Document
from monitor.filters.fail2ban.durations import format_duration, parse_duration
from monitor.filters.fail2ban.formula import evaluate
from monitor.filters.fail2ban.notation import is_true

_OPTIONS = ("increment", "factor", "formula", "multipliers", "maxtime", "rndtime", "overalljails")
_COUNTS = range(1, 21)
"""Numbers of previous bans for which a formula is evaluated; fail2ban's own stops growing at 20."""
_MANY = 8
"""So many steps that double show that all do."""
_FORMULA = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"
_SAMPLES_S = (600.0, 86_400.0)
_FACTORS = (0.01, 1000.0)
_MULTIPLIERS = (0.01, 1_000_000.0)
_MAX_MULTIPLIERS = 64
_MAXTIMES_S = (1.0, 3650 * 86_400.0)
_RNDTIMES_S = (0.0, 365 * 86_400.0)


class IncrementSettings(msgspec.Struct, frozen=True):
    """The section `bans.increment`, and what it cannot express, one sentence each."""

    settings: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_increment(document: Document) -> IncrementSettings:
    """Translate the options of `[DEFAULT]`."""
    notes: list[str] = []
    options = {name: text for name in _OPTIONS if (text := _option(document, name, notes)) is not None}
    if "increment" not in options:
        notes.append(
            "bantime.increment is not set in fail2ban: here, sources that offend again are banned for longer "
            "(bans.increment; switch it off with `enabled: false`)"
        )
        return IncrementSettings({}, tuple(notes))
    if not is_true(options["increment"]):
        return IncrementSettings({"enabled": False}, tuple(notes))
    settings: dict[str, Any] = {"enabled": True}
    settings |= _growth(options, notes)
    settings |= _time("maxtime", options, _MAXTIMES_S, notes)
    settings |= _time("rndtime", options, _RNDTIMES_S, notes)
    settings["overalljails"] = is_true(options.get("overalljails", ""))
    if "maxtime" not in options:
        notes.append("bantime.maxtime is not set: fail2ban has no limit, here bans grow to the default of maxtime")
    notes.append("here, an offence is forgiven after `decay` without another one; fail2ban forgets after dbpurgeage")
    return IncrementSettings(settings, tuple(notes))


def _option(document: Document, name: str, notes: list[str]) -> str | None:
    try:
        return document.find("DEFAULT", f"bantime.{name}") or None
    except FilterError as error:
        notes.append(str(error))
        return None


def _growth(options: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Return how bans grow: `factor` or `multipliers`; nothing means doubling."""
    try:
        factor = evaluate(options.get("factor", "1"), {})
        if multipliers := options.get("multipliers", "").split():
            return {"multipliers": _within_limits([int(text) * factor for text in multipliers], notes)}
        steps = _steps(options.get("formula", _FORMULA), factor)
    except (FilterError, ValueError) as error:
        notes.append(f"bantime.formula, factor or multipliers cannot be translated, so bans double: {error}")
        return {}
    if not steps:
        return {"multipliers": [1.0, _MULTIPLIERS[1]]}
    doubling = round(steps[-1] / 2 ** len(steps), 4)
    is_doubled = all(math.isclose(step, doubling * 2**count, rel_tol=1e-3) for count, step in enumerate(steps, 1))
    if is_doubled and len(steps) >= _MANY and _FACTORS[0] <= doubling <= _FACTORS[1]:
        return {"factor": doubling} if doubling != 1 else {}
    return {"multipliers": _within_limits([1.0, *steps, *([_MULTIPLIERS[1]] * (len(steps) < len(_COUNTS)))], notes)}


def _steps(formula: str, factor: float) -> list[float]:
    """Return how many times as long as the first each further ban is, up to our limit.

    FilterError if the formula is no arithmetic, or not a multiple of the ban time.
    """
    steps: list[float] = []
    for count in _COUNTS:
        try:
            step, same = (
                evaluate(formula, {"ban.Time": time_s, "ban.Count": count, "banFactor": factor}) / time_s
                for time_s in _SAMPLES_S
            )
        except FilterError:
            if not steps:
                raise
            break  # grown too large
        if not math.isclose(step, same, rel_tol=1e-6):
            raise FilterError(f"{formula[:80]!r} is not a multiple of the ban time")
        if step > _MULTIPLIERS[1]:
            break
        steps.append(max(1.0, step))
    return steps


def _within_limits(values: list[float], notes: list[str]) -> list[float]:
    """Return multipliers within the limits of our configuration, without the last ones where they are all equal."""
    low, high = _MULTIPLIERS
    limited = [float(f"{max(low, min(value, high)):.6g}") for value in values[:_MAX_MULTIPLIERS]]
    if len(values) > _MAX_MULTIPLIERS or any(not low <= value <= high for value in values):
        notes.append(f"multipliers are reduced to {_MAX_MULTIPLIERS} numbers from {low} to {high:g}")
    while len(limited) > 1 and limited[-1] == limited[-2]:
        limited.pop()
    return limited


def _time(name: str, options: dict[str, str], limits_s: tuple[float, float], notes: list[str]) -> dict[str, str]:
    """Return a duration within our limits; nothing if it is not set or is no duration."""
    if name not in options:
        return {}
    try:
        value_s = parse_duration(options[name])
    except FilterError as error:
        notes.append(f"bantime.{name}: {error}")
        return {}
    low_s, high_s = limits_s
    limited_s = max(low_s, min(value_s, high_s))
    if limited_s != value_s:
        notes.append(f"bantime.{name} {options[name][:40]} becomes {format_duration(limited_s)}, our limit")
    return {name: format_duration(limited_s) if limited_s else "0s"}
