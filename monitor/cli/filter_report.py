"""Results of a filter on a log, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from monitor.cli import show
from monitor.cli.filter_trial import Trial
from monitor.cli.log_lines import LogLines
from monitor.files.permissions import file_writer
from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import doubt, standing_doubt

_MOST_SHOWN = 20
_MOST_LISTED = 1000
_EXPRESSION_CHARS = 72


def as_dict(definition: FilterDefinition, log: LogLines, trial: Trial) -> dict[str, Any]:
    """Return everything as one JSON object; at most 1,000 addresses."""
    tally = trial.tally
    return {
        "filter": {"name": definition.name, "origin": definition.origin, "notes": list(definition.notes)},
        "log": log.name,
        "doubt": doubt_of(definition, log),
        "lines": log.lines,
        "bytes": log.read_bytes,
        "cut_lines": log.cut_lines,
        "matched": tally.matched,
        "ignored": tally.ignored,
        "missed": missed(log, trial),
        "timeouts": tally.timeouts,
        "failures": tally.failures,
        "helping": tally.helping,
        "waiting": tally.waiting,
        "unusable": {"names": tally.names, "others": tally.others, "without_address": tally.lacking},
        "undated": tally.undated,
        "future": tally.future,
        "candidates": tally.candidates,
        "seconds": round(tally.examine_s, 6),
        "has_hyperscan": trial.has_hyperscan,
        "is_searchable": trial.is_searchable,
        "expressions": [
            {
                "number": number,
                "hits": one.hits,
                "candidates": one.candidates,
                "is_searchable": one.is_searchable,
                "ms": round(one.line_s * one.candidates * 1e3, 3),
                "us_per_candidate": round(one.line_s * 1e6, 3),
                "timed_candidates": one.sampled,
                "failregex": one.text,
            }
            for number, one in enumerate(tally.expressions, 1)
        ],
        "addresses": dict(tally.addresses.most_common(_MOST_LISTED)),
        "addresses_total": len(tally.addresses),
        "failures_unlisted": tally.unlisted,
        "dates": None if log.is_journal else _dates(trial),
        "missed_lines": [one.line for one in tally.missed_lines],
        "missed_remains": [{"date": one.date, "left": one.left, "reason": one.reason} for one in tally.missed_lines],
    }


def doubt_of(definition: FilterDefinition, log: LogLines) -> str:
    """Return why lines of this log prove nothing; empty if they prove. Of the journal, entries may still differ."""
    if log.is_journal:
        return standing_doubt(definition.evidence, ())
    return doubt(definition.evidence, None if log.path is None else file_writer(str(log.path)))


def _evidence(definition: FilterDefinition, log: LogLines) -> str:
    if reason := doubt_of(definition, log):
        return f"evidence: failures only shun: {reason}"
    if log.is_journal:
        return "evidence: proven, for entries that the application itself wrote; others only shun"
    return "evidence: proven"


def missed(log: LogLines, trial: Trial) -> int:
    """Return how many lines nothing matched."""
    tally = trial.tally
    return log.lines - tally.matched - tally.ignored - tally.timeouts


def print_report(definition: FilterDefinition, log: LogLines, trial: Trial) -> None:
    """Print it as text; anything from log or filter is escaped for the terminal."""
    show.say(f"{definition.name} ({definition.origin}) on {log.name}")
    for sentence in (*_lines(log, trial), *_matches(trial), *_times(log, trial), *_costs(trial)):
        show.say(sentence)
    show.say(_evidence(definition, log))
    for note in definition.notes:
        show.say(f"note: {note}")
    _print_expressions(trial)
    _print_addresses(trial)
    if trial.tally.missed_lines:
        show.say()
        show.say("First missed lines:")
    for one in trial.tally.missed_lines:
        show.say(f"  {one.line}")
        show.say(f"    {one.reason}" + (f"; date: {one.date}" if one.date else ""))
        if one.left and one.left != one.line:
            show.say(f'    left: "{one.left}"')


def _dates(trial: Trial) -> dict[str, Any]:
    dates = trial.dates
    return {
        "lines": dates.lines,
        "undated": dates.undated,
        "unreadable": dates.unreadable,
        "templates": dict(dates.templates.most_common()),
    }


def _lines(log: LogLines, trial: Trial) -> Iterator[str]:
    tally = trial.tally
    yield (
        f"{_count(log.lines, 'line')}: {tally.matched:,} matched, {tally.ignored:,} ignored, "
        f"{missed(log, trial):,} missed" + (f", {tally.timeouts:,} timed out" if tally.timeouts else "")
    )
    if log.cut_lines:
        yield f"{_count(log.cut_lines, 'line')} cut: longer than --max-line-bytes"


def _matches(trial: Trial) -> Iterator[str]:
    tally = trial.tally
    if not tally.matched:
        return
    yield f"matched: {_count(tally.failures, 'failure')} with an address"
    if tally.helping:
        yield f"  {tally.helping:,} are no failures but provide context for other lines"
    if tally.waiting:
        yield f"  {tally.waiting:,} are failures whose address another line of the same connection must give"
    if tally.lacking:
        yield f"  {tally.lacking:,} unusable: no address, or only a part of a longer word; --missed N shows them"
    if tally.names:
        yield f"  {tally.names:,} unusable: a host name instead of an address; names are never resolved"
    if tally.others:
        yield f"  {tally.others:,} unusable: neither an address nor a host name"


def _times(log: LogLines, trial: Trial) -> Iterator[str]:
    tally, dates = trial.tally, trial.dates
    if not log.is_journal and dates.lines:
        found = dates.lines - dates.undated
        odd = f" ({dates.unreadable:,} of them invalid)" if dates.unreadable else ""
        yield f"dates: in {found:,} of the first {_count(dates.lines, 'line')}{odd}"
        for template, count in dates.templates.most_common(5):
            yield f"  {count:,} like {template}"
    if tally.undated:
        yield f"{_count(tally.undated, 'failure')} without a time: counted only if read as they are written"
    if tally.future:
        yield f"{_count(tally.future, 'failure')} dated in the future: check --timezone"


def _costs(trial: Trial) -> Iterator[str]:
    tally = trial.tally
    yield f"time: {tally.examine_s * 1e3:,.0f} ms, {_count(tally.candidates, 'candidate line')}"
    if not trial.has_hyperscan:
        yield "slow: every line is a candidate, since Hyperscan is not installed"
    elif not trial.is_searchable:
        guilty = [str(number) for number, one in enumerate(tally.expressions, 1) if not one.is_searchable]
        yield f"slow: every line is a candidate; no fixed text to search for in expression {_several(guilty)}"


def _print_expressions(trial: Trial) -> None:
    rows = [
        (
            str(number),
            f"{one.hits:,}",
            f"{one.line_s * one.candidates * 1e3:,.1f}" if one.sampled else "-",
            f"{one.line_s * 1e6:,.1f}" if one.sampled else "-",
            _shortened(one.text),
        )
        for number, one in enumerate(trial.tally.expressions, 1)
    ]
    show.say()
    show.table(("", "HITS", "MS", "US/LINE", "EXPRESSION"), rows)
    show.say("MS: time of the expression on all its candidate lines, estimated from a sample (US/LINE).")


def _print_addresses(trial: Trial) -> None:
    tally = trial.tally
    if not tally.addresses:
        return
    show.say()
    rows = [(address, f"{count:,}") for address, count in tally.addresses.most_common(_MOST_SHOWN)]
    show.table(("ADDRESS", "FAILURES"), rows)
    if (more := len(tally.addresses) - _MOST_SHOWN) > 0:
        show.say(f"and {_count(more, 'address', 'addresses')} more")
    if tally.unlisted:
        show.say(f"and {_count(tally.unlisted, 'failure')} of other addresses, not listed")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EXPRESSION_CHARS else f"{text[: _EXPRESSION_CHARS - 3]}..."


def _several(words: list[str]) -> str:
    return ", ".join(words[:_MOST_SHOWN]) + (
        f" and {len(words) - _MOST_SHOWN} more" if len(words) > _MOST_SHOWN else ""
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
