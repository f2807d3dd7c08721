"""How a comparison of two configurations reads."""

import time
from collections.abc import Sequence
from typing import Any

from monitor.cli import show

_COLUMNS = ("added", "lost", "earlier", "later", "stronger", "weaker", "longer", "shorter")
_OTHERS = {
    "observed_added": "more would have been banned by detectors that observe",
    "observed_lost": "fewer would have been banned by detectors that observe",
    "covered": "are inside a wider ban of the other configuration",
}
_BAD_NEWS = frozenset({"added", "lost", "stronger"})


def print_comparison(result: dict[str, Any], limit: int) -> None:
    """Print a comparison for people, with at most `limit` changes."""
    _recording(result["recording"])
    _totals(result)
    if not result["changes"]:
        show.say()
        show.say(f"no ban differs ({result['unchanged']} are the same)")
        return
    _detectors(result)
    _marks(result)
    _changes(result["changes"], limit)


def _recording(facts: dict[str, Any]) -> None:
    events = f"{sum(facts['events'].values()):,} events"
    node = f" of {facts['node']}" if facts["node"] else ""
    show.say(f"history{node} from {show.moment(facts['since_s'])} to {show.moment(facts['until_s'])}: {events}")
    for warning in facts["warnings"]:
        show.say(f"warning: {warning}", fg="yellow")


def _totals(result: dict[str, Any]) -> None:
    old, new = result["old"], result["new"]
    show.say()
    rows = [
        ("bans", *(str(side["bans"]) for side in (old, new))),
        ("banned networks", *(str(side["networks"]) for side in (old, new))),
        ("only observed", *(str(side["observed"]) for side in (old, new))),
        ("alerts", *(str(sum(side["alerts"].values())) for side in (old, new))),
        ("most bans in a minute (budget)", *(_budget(side["budget"]) for side in (old, new))),
        ("not banned: budget spent", *(str(side["budget"]["refused"]) for side in (old, new))),
        ("not banned: allowlisted", *(str(side["spared"].get("allowlisted", 0)) for side in (old, new))),
    ]
    show.table(("", f"OLD: {old['name']}", f"NEW: {new['name']}"), rows)


def _budget(use: dict[str, int]) -> str:
    return f"{use['peak']} ({use['per_minute']})"


def _detectors(result: dict[str, Any]) -> None:
    rows = []
    for name, counts in result["by_detector"].items():
        if any(counts.get(column) for column in _COLUMNS):
            rows.append((name, *(str(counts.get(column, 0)) for column in _COLUMNS)))
    if len(rows) > 1:
        rows.append(("all", *(str(result["kinds"].get(column, 0)) for column in _COLUMNS)))
    if rows:
        show.say()
        show.table(("DETECTOR", *(column.upper() for column in _COLUMNS)), rows)
    for kind, words in _OTHERS.items():
        if count := result["kinds"].get(kind):
            show.say(f"{count} {words}")


def _marks(result: dict[str, Any]) -> None:
    if known := result["known_good"]:
        marks = show.counts({mark: result["harmed"].get(mark, 0) for mark in _MARKS})
        show.say()
        show.say(f"of the added and stronger bans, {known} hit known-good sources: {marks}", fg="red", bold=True)
    if lost := result["lost_bad"]:
        show.say(f"of the lost bans, {lost} are of sources that are labelled bad", fg="red", bold=True)


_MARKS = ("good", "allowlisted", "internal", "client")


def _changes(changes: Sequence[dict[str, Any]], limit: int) -> None:
    shown = sorted(changes, key=_weight)[:limit]
    if not shown:
        return
    show.say()
    show.table(("NETWORK", "CHANGE", "DETECTOR", "WHEN", "OLD", "NEW", "KNOWN AS", "WHY"), map(_row, shown))
    if len(changes) > limit:
        show.say(f"{len(changes) - limit} more changes: `--limit N` shows more of them, --json all")


def _weight(change: dict[str, Any]) -> tuple[bool, bool, float]:
    """Return the order: known sources first, then what is banned or not any more, then by time."""
    side = change["new"] or change["old"]
    return not change["marks"], not _BAD_NEWS & set(change["kinds"]), side["since_s"]


def _row(change: dict[str, Any]) -> Sequence[str]:
    side = change["new"] or change["old"]
    return (
        change["network"],
        ", ".join(kind.replace("_", " ") for kind in change["kinds"]),
        side["detector"],
        time.strftime("%m-%d %H:%M:%S", time.localtime(side["since_s"])),
        _side(change["old"]),
        _side(change["new"]),
        ", ".join(change["marks"]),
        side["reason"],
    )


def _side(side: dict[str, Any] | None) -> str:
    if side is None:
        return "-"
    ports = "" if side["is_whole"] else " of ports"
    return f"{side['kind']}{ports} {show.duration(side['banned_s'])}"
