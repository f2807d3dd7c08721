"""How the result of `nodewarden tune` reads: for people, and as JSON."""

import os
import shutil
import sys
from typing import Any

from monitor.cli import show
from monitor.cli.tune_chart import Texts, terminal_chart
from monitor.config.types import format_duration
from monitor.daemon.tuning.grid import Point
from monitor.daemon.tuning.history import Swept
from monitor.daemon.tuning.proposal import Score, Tuning

_HITS_SHOWN = 5
_LEAST_COLUMNS = 40


def texts(swept: Swept) -> Texts:
    """Return what drawings say."""
    tuning = swept.tuning
    proposal = "" if tuning.proposal is None else f"proposal: {_values(swept, tuning.proposal.point)}"
    return Texts(
        f"{swept.detector}: what {len(tuning.scores)} thresholds find in {show.duration(swept.span_s)}",
        "known-good sources hit (logarithmic)",
        "offenders found",
        f"today: {_values(swept, tuning.grid.today)}",
        proposal,
    )


def print_result(swept: Swept) -> None:
    """Print the result for people: with a chart on a terminal, with a table of the best points elsewhere."""
    tuning = swept.tuning
    sources = "source" if tuning.good == 1 else "sources"
    others = f"it counted {tuning.good:,} known-good {sources} and {tuning.offenders:,} others"
    show.say(f"{swept.detector}: {show.duration(swept.span_s)} of history, {swept.events:,} events; {others}")
    for note in swept.notes:
        show.say(f"note: {note}", fg="yellow")
    show.say()
    if _is_chart_wanted():
        columns = shutil.get_terminal_size().columns
        show.document(
            f"{terminal_chart(tuning, texts(swept), columns, has_colours=not os.environ.get('NO_COLOR'))}\n\n"
        )
        marked = [one for one in (tuning.today, tuning.proposal) if one is not None]
        show.table(_columns(swept), [_row(swept, one) for one in dict.fromkeys(marked)])
    else:
        show.table(_columns(swept), [_row(swept, one) for one in _best(tuning)])
        show.say(f"the best of {len(tuning.scores)} points; --json has all")
    show.say()
    _print_hits(swept)
    _print_proposal(swept)


def _best(tuning: Tuning) -> list[Score]:
    """Return the points that no other one beats, by what they hit; those of today and the proposal are among them."""
    marked = {one.point for one in (tuning.today, tuning.proposal) if one is not None}
    best: list[Score] = []
    most = 0
    for score in sorted(tuning.scores, key=lambda one: (one.good, -one.offenders, one.point not in marked, one.point)):
        if score.offenders > most or score.point in marked:
            best.append(score)
        most = max(most, score.offenders)
    return best


def _is_chart_wanted() -> bool:
    """Whether standard output is a terminal that is wide enough and can show the characters."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return sys.stdout.isatty() and encoding == "utf8" and shutil.get_terminal_size().columns >= _LEAST_COLUMNS


def _print_hits(swept: Swept) -> None:
    """Print which known-good sources the values in force hit."""
    hits = swept.tuning.hits
    if not hits:
        return
    named = ", ".join(f"{one.network} ({one.reason})" for one in hits[:_HITS_SHOWN])
    more = f" and {len(hits) - _HITS_SHOWN} more" if len(hits) > _HITS_SHOWN else ""
    show.say(f"known-good sources that today's values hit: {named}{more}", fg="yellow")


def _print_proposal(swept: Swept) -> None:
    tuning = swept.tuning
    if tuning.proposal is None:
        show.say("no proposal", bold=True)
    elif tuning.is_today_best:
        show.say(f"today's values are the proposal, confidence {tuning.confidence}", bold=True)
    else:
        proposal = _values(swept, tuning.proposal.point)
        show.say(f"proposal: {proposal}, confidence {tuning.confidence}", bold=True, fg="green")
    for reason in tuning.reasons:
        show.say(f"  {reason}")
    if swept.yaml:
        show.say()
        show.say_lines(swept.yaml.rstrip())


def _values(swept: Swept, point: Point) -> str:
    return f"{swept.threshold} {swept.written(point)[swept.threshold]} within {format_duration(point.findtime_s)}"


def _columns(swept: Swept) -> tuple[str, ...]:
    return "FINDTIME", swept.threshold.upper(), "OFFENDERS", "KNOWN-GOOD HIT", ""


def _row(swept: Swept, score: Score) -> tuple[str, ...]:
    tuning = swept.tuning
    marks = [
        name
        for name, one in (("today", tuning.today), ("proposal", tuning.proposal))
        if one and one.point == score.point
    ]
    values = format_duration(score.point.findtime_s), str(swept.written(score.point)[swept.threshold])
    return (*values, f"{score.offenders:,}", f"{score.good:,}", " and ".join(marks))


def as_document(swept: Swept) -> dict[str, Any]:
    """Return the result as JSON has it; times in seconds."""
    tuning = swept.tuning
    return {
        "detector": swept.detector,
        "since_s": swept.since_s,
        "until_s": swept.until_s,
        "events": swept.events,
        "offenders": tuning.offenders,
        "known_good": tuning.good,
        "notes": list(swept.notes),
        "points": [_point(swept, one) for one in tuning.scores],
        "today": _point(swept, tuning.today),
        "known_good_hit": [{"network": str(one.network), "reason": one.reason} for one in tuning.hits],
        "proposal": None if tuning.proposal is None else _point(swept, tuning.proposal),
        "confidence": tuning.confidence,
        "reasons": list(tuning.reasons),
        "yaml": swept.yaml,
    }


def _point(swept: Swept, score: Score) -> dict[str, Any]:
    values = dict(swept.written(score.point))
    return {
        "findtime_s": score.point.findtime_s,
        "threshold": score.point.maxretry,
        "values": values,
        "offenders": score.offenders,
        "known_good_hit": score.good,
    }
