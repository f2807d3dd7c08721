"""How the report of the history reads."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from monitor.cli import show

_SHOWN = 15
_LEVELS = " .:-=+*#%@"
"""From no alert in an hour to the busiest hour of the report."""
_DAY_HOURS = 24


def print_report(result: dict[str, Any]) -> None:
    """Print a report for people."""
    outcomes = _sum(one["outcomes"] for one in result["detectors"])
    show.say(f"from {show.moment(result['since_s'])} to {show.moment(result['until_s'])}: {_outcomes(outcomes)}")
    if result["unreadable"]:
        show.say(f"{result['unreadable']} entries are damaged and left out", fg="yellow")
    if not result["detectors"]:
        return
    if (counted := sum(outcomes.values())) > result["entries"]:
        show.say(f"{result['entries']} of these have an entry of their own; sources and prefixes are only of them")
    _known(result)
    _detectors(result["detectors"])
    _sources(result["sources"])
    _prefixes(result["prefixes"])
    _hours(result["hours"], counted)


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for outcome, count in one.items():
            total[outcome] = total.get(outcome, 0) + count
    return total


_WORDS = {
    "ban": "banned",
    "observe": "would have been banned",
    "over_budget": "over the budget (bans.bans_per_minute)",
    "allowlisted": "spared, on the allowlist",
    "full": "not banned, for lack of room",
}


def _outcomes(outcomes: dict[str, int]) -> str:
    """Write what came of alerts: `3 banned, 12 would have been banned`."""
    known = [f"{outcomes[key]} {word}" for key, word in _WORDS.items() if outcomes.get(key)]
    return ", ".join(known) or "nothing happened"


def _known(result: dict[str, Any]) -> None:
    """Print the sources that are no strangers: the reason to think twice."""
    if not result["known"]:
        return
    show.say()
    show.say("no strangers: look at these before you enforce, or put them on the allowlist", fg="yellow", bold=True)
    show.table(
        ("SOURCE", "IS", "TIMES", "LAST", "DETECTORS"),
        [
            (
                one["network"],
                _standing(one),
                str(one["count"]),
                show.moment(one["last_s"]),
                ", ".join(one["detectors"]),
            )
            for one in result["known"][:_SHOWN]
        ],
    )
    _more(result["known"])


def _standing(one: dict[str, Any]) -> str:
    """Write what a source was, and what it is by now if that differs."""
    then, now = one["standing"] or "", one.get("standing_now") or ""
    return f"{then}, now {now}" if now and now != then else then


def _detectors(detectors: list[dict[str, Any]]) -> None:
    show.say()
    show.table(
        ("DETECTOR", "BANNED", "OBSERVED", "SPARED", "SOURCES", "NO STRANGERS"),
        [
            (
                one["detector"],
                str(one["outcomes"].get("ban", 0)),
                str(one["outcomes"].get("observe", 0)),
                show.counts({key: one["outcomes"].get(key, 0) for key in ("over_budget", "allowlisted", "full")}),
                str(one["sources"]),
                show.counts(one["known"]),
            )
            for one in detectors
        ],
    )


def _sources(sources: list[dict[str, Any]]) -> None:
    show.say()
    show.table(
        ("SOURCE", "TIMES", "OUTCOMES", "IS", "FIRST", "LAST", "DETECTORS"),
        [
            (
                one["network"],
                str(one["count"]),
                ", ".join(one["outcomes"]),
                _standing(one),
                show.moment(one["first_s"]),
                show.moment(one["last_s"]),
                ", ".join(one["detectors"]),
            )
            for one in sources[:_SHOWN]
        ],
    )
    _more(sources)


def _prefixes(prefixes: list[dict[str, Any]]) -> None:
    if not prefixes:
        return
    show.say()
    show.table(
        ("PREFIX", "SOURCES", "TIMES"),
        [(one["network"], str(one["sources"]), str(one["count"])) for one in prefixes[:_SHOWN]],
    )
    _more(prefixes)


def _hours(hours: list[dict[str, Any]], counted: int) -> None:
    """Print a line for each day, with a character for each hour."""
    if not counted:
        return
    days: dict[str, list[int]] = {}
    for one in hours:
        moment = datetime.fromtimestamp(one["hour_s"], UTC)
        counts = days.setdefault(f"{moment:%Y-%m-%d}", [0] * _DAY_HOURS)
        counts[moment.hour] += sum(one["outcomes"].values())
    busiest = max(max(counts) for counts in days.values())
    show.say()
    show.table(
        ("DAY (UTC)", "HOUR 0 TO 23", "TOTAL"),
        [
            (day, "|" + "".join(_level(count, busiest) for count in counts) + "|", str(sum(counts)))
            for day, counts in days.items()
        ],
    )
    show.say(
        f"each character is an hour, from `{_LEVELS[1]}` (one alert) to `{_LEVELS[-1]}` ({busiest} in the busiest)"
    )


def _level(count: int, busiest: int) -> str:
    return _LEVELS[-(-count * (len(_LEVELS) - 1) // busiest)]


def _more(shown: list[Any]) -> None:
    if len(shown) > _SHOWN:
        show.say(f"more: see `nodewarden report --json`, which lists up to 100 ({len(shown)} here)")
