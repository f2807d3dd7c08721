"""The filters with the native extension and without it, on the same hostile blocks of lines: nothing may differ.

Run by the benchmark `native_differences` and, shorter, by the unit tests.
"""

import datetime
import math
import random
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from bench.log_mutations import mutations
from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import EvidenceRule
from monitor.filters.matcher import LogMatcher
from monitor.model.events import AuthFailure
from monitor.model.logs import JOURNAL, LogBlock
from monitor.model.writers import FileWriter

_NOW_S = datetime.datetime(2026, 12, 31, 23, 40, tzinfo=datetime.UTC).timestamp()
"""Twenty minutes before dates without a year mean another one."""
_LONG_S = 3e9
_STEPS_S = (0.0, 0.5, 3.0, 290.0, 700.0)
_REPEATED = 4
_SHARE_WITHOUT_HYPERSCAN = 10
"""One of so many lines is scanned where every line is a candidate."""
_DETECTOR = "d"


class DifferenceError(Exception):
    """The two differ; the message has the block, and how to reproduce it."""


def compare(definition: FilterDefinition, lines: Sequence[bytes], count: int, seed: int) -> int:
    """Scan `count` lines in random blocks with both; return the number of failures. DifferenceError at the first.

    A part of them are scanned without Hyperscan: there the number of candidates follows from the lines alone, so that
    native code has to count each line as Python does, also those that no expression could match.
    """
    bare = count // _SHARE_WITHOUT_HYPERSCAN
    failures = _compare(definition, lines, count - bare, seed, use_hyperscan=True)
    return failures + _compare(definition, lines, bare, seed, use_hyperscan=False)


def _compare(
    definition: FilterDefinition, lines: Sequence[bytes], count: int, seed: int, *, use_hyperscan: bool
) -> int:
    choose = random.Random(seed)
    if choose.random() < 0.7:
        definition = msgspec.structs.replace(definition, evidence=EvidenceRule(is_vouched=True))
    findtime_s = choose.choice((600.0, _LONG_S))
    one, other = (
        _matcher(definition, findtime_s, is_native=is_native, use_hyperscan=use_hyperscan)
        for is_native in (True, False)
    )
    failures = scanned = 0
    source = _lines(lines, seed, choose)
    now_s = _NOW_S
    while scanned < count:
        size = min(count - scanned, choose.choice((1, 2, 7, 40)))
        scanned += size
        now_s += choose.choice(_STEPS_S)
        block = _block(tuple(islice(source, size)), now_s, choose)
        pauses = choose.random() < 0.2
        found, expected = (_scan(matcher, block, pauses=pauses) for matcher in (one, other))
        if found != expected:
            raise DifferenceError(f"{definition.name}, seed {seed}: {found} is not {expected} in {block}")
        failures += len(expected[0])
    if not use_hyperscan and (candidates := other.stats[_DETECTOR].candidates) != scanned:
        raise DifferenceError(f"{definition.name}, seed {seed}: {candidates} of {scanned} lines were examined")
    return failures


def _matcher(definition: FilterDefinition, findtime_s: float, *, is_native: bool, use_hyperscan: bool) -> LogMatcher:
    matcher = LogMatcher(
        {_DETECTOR: definition},
        timezones={_DETECTOR: datetime.UTC},
        findtimes_s={_DETECTOR: findtime_s},
        confirm_timeout_s=30.0,  # the two need not take as long
        use_hyperscan=use_hyperscan,
        use_native=is_native,
    )
    matcher.breakers[_DETECTOR].charge = _disregard  # type: ignore[method-assign]
    return matcher


def _disregard(number: int | None, length: int, cost_s: float, now_s: float) -> None:
    """Limit no expression that took long: it depends on the machine which do."""


def _lines(lines: Sequence[bytes], seed: int, choose: random.Random) -> Iterator[bytes]:
    """Yield mutated lines and valid ones, in runs of the same kind as in a log."""
    for mutated in mutations(lines, seed):
        yield mutated
        yield from [choose.choice(lines)] * choose.randrange(_REPEATED)


def _block(lines: Sequence[bytes], now_s: float, choose: random.Random) -> LogBlock:
    kind = choose.choice(("file", "file", "file", "journal", "container"))
    times_s = [now_s - choose.choice((0.0, 30.0, 3600.0, 90000.0)) for _ in lines]
    if kind == "container":
        times_s = [choose.choice((time_s, math.nan)) for time_s in times_s]
    return LogBlock(
        JOURNAL if kind == "journal" else "/log",
        (_DETECTOR,),
        b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines),
        now_s,
        () if kind == "file" else times_s,
        is_live=choose.random() < 0.5,
        writer=choose.choice((None, FileWriter("/log"))),
        after_s=choose.choice((0.0, 0.0, now_s - 60)),
        is_wrapped=kind == "container",
        is_cut=choose.random() < 0.05,
    )


def _scan(
    matcher: LogMatcher, block: LogBlock, *, pauses: bool
) -> tuple[list[AuthFailure], dict[str, object], str, tuple[object, ...]]:
    """Return all that is visible of a scan: failures, counters, doubt, and the state of connections and dates."""
    scan = matcher.begin(block)
    failures = scan.run(0.0 if pauses else math.inf)
    while scan.has_more:
        failures += scan.run(0.0)
    log_filter = matcher.filters[_DETECTOR]
    dates = log_filter.dates
    state = (len(log_filter.connections), len(log_filter.proven_connections), dates.template, dates.is_zoned)
    return failures, msgspec.structs.asdict(log_filter.stats), log_filter.doubt, state
