"""All filters at work on blocks of lines: who failed, when, how sure that is, and the same without Hyperscan."""

import datetime
import functools
import re
import time
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.definition import FilterDefinition
from monitor.filters.evidence import NOT_VETTED, EvidenceRule
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import format_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.model.writers import Writer
from tests.support.writers import SSHD, VOUCHED
from tests.unit.filters.builtin_support import CASES, definition_of, references

_UTC = datetime.UTC
_NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=_UTC).timestamp()


def _definition(*failregex: str, date: str = "", **others: object) -> FilterDefinition:
    return FilterDefinition(name="f", failregex=failregex, datepattern=date, **others)  # type: ignore[arg-type]


_BAD = _definition(r"^\s*bad <F-USER>.*</F-USER> <SUBNET>$")
_HAND_MADE: Mapping[str, FilterDefinition] = {
    "plain": _definition(r"<HOST> failed$", r"^\W*é <ADDR>"),
    "ignoring": _definition(r"Failed .*<ADDR>", ignoreregex=("root",)),
    "joined": _definition(
        r"^from <ADDR>", "^Failed", "^<F-NOFAIL>user</F-NOFAIL>",
        prefregex=r"(?<=\[)<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.+</F-CONTENT>$"
    ),
    "every": _definition("<ADDR>"),
    "lines": _definition("Failed<SKIPLINES>.*<ADDR>", maxlines=3),
    "identity": _definition("user <F-ID/> from"),
}  # fmt: skip


def _matcher(definitions: Mapping[str, FilterDefinition], **options: object) -> LogMatcher:
    zones = dict.fromkeys(definitions, _UTC)
    matcher = LogMatcher(definitions, **{"timezones": zones, "confirm_timeout_s": 5.0} | options)  # type: ignore[arg-type]
    assert not matcher.faults
    return matcher


def _block(
    *lines: str | bytes, detectors: tuple[str, ...] = ("d",), now_s: float = _NOW_S, **others: object
) -> LogBlock:
    data = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    return LogBlock("/log", detectors, data, now_s, **others)  # type: ignore[arg-type]


def _scan(definition: FilterDefinition, *lines: str | bytes, **others: Any) -> list[AuthFailure]:
    """Scan lines with Hyperscan and without; returns the failures, which are the same."""
    block = _block(*lines, **others)
    events = _matcher({"d": definition}).scan(block)
    assert _matcher({"d": definition}, use_hyperscan=False).scan(block) == events
    return events


def _whose(events: list[AuthFailure]) -> list[str]:
    return [format_address(event.source) for event in events]


@functools.cache
def _all() -> dict[str, FilterDefinition]:
    return {reference: definition_of(reference) for reference in references()} | dict(_HAND_MADE)


_DATE = re.compile(r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d) ")
_LINES = sorted({_DATE.sub("", line, count=1) for case in CASES for line in case.sample.text})
"""Samples as the journal hands them on: without a date."""
_FOREIGN = (b"", b"\x00", b"\xff\xc3", "é ".encode(), b" ", b"[7]: Failed ", b" from ::1 failed", b" root", b"\r", b"[")


@st.composite
def _mutated(draw: st.DrawFn, lines: list[str], intact: int = 0) -> bytes:
    """Draw a line in which something was cut out or put in behind the first `intact` bytes."""
    line = draw(st.sampled_from(lines)).encode()
    for _ in range(draw(st.integers(0, 2))):
        start, length = draw(st.integers(min(intact, len(line)), len(line))), draw(st.integers(0, 8))
        line = line[:start] + draw(st.sampled_from(_FOREIGN)) + line[start + length :]
    return line.replace(b"\n", b"")


def _by_detector(events: list[AuthFailure], names: tuple[str, ...]) -> list[list[AuthFailure]]:
    return [[event for event in events if event.detector == name] for name in names]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(sorted({*references(), *_HAND_MADE})), min_size=1, max_size=3, unique=True),
    st.lists(_mutated(_LINES), min_size=1, max_size=30),
)
def test_the_same_without_hyperscan(chosen: list[str], lines: list[bytes]) -> None:
    """Filters that share a log find in damaged lines what each finds alone, in any order, and without Hyperscan."""
    names, definitions = tuple(chosen), {name: _all()[name] for name in chosen}
    times_s = tuple(_NOW_S - number for number in range(len(lines)))
    fast, slow, turned = _matcher(definitions), _matcher(definitions, use_hyperscan=False), _matcher(definitions)
    block = _block(*lines, detectors=names, times_s=times_s)
    found = _by_detector(fast.scan(block), names)
    assert _by_detector(slow.scan(block), names) == found
    assert _by_detector(turned.scan(_block(*lines, detectors=names[::-1], times_s=times_s)), names) == found
    for name, events in zip(names, found, strict=True):
        alone = _matcher({name: definitions[name]})
        assert alone.scan(_block(*lines, detectors=(name,), times_s=times_s)) == events


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(sorted({reference.partition("[")[0] for reference in references()})))
def test_the_same_with_dates(data: st.DataObject, name: str) -> None:
    """All modes of a filter find in damaged lines of its log the same without Hyperscan, dates included."""
    names = tuple(reference for reference in references() if reference.partition("[")[0] == name)
    samples = sorted({line for case in CASES if case.reference in names for line in case.sample.text})
    lines = data.draw(st.lists(_mutated(samples, 48), min_size=1, max_size=20))
    definitions = {each: _all()[each] for each in names}
    fast, slow = _matcher(definitions), _matcher(definitions, use_hyperscan=False)
    for is_live in (True, False):
        block = _block(*lines, detectors=names, is_live=is_live)
        assert _by_detector(fast.scan(block), names) == _by_detector(slow.scan(block), names)


def test_samples_are_found_together() -> None:
    """All filters in one database find failures in all samples at once: the tests above compare something."""
    definitions = _all()
    block = _block(*_LINES, detectors=tuple(definitions), times_s=(_NOW_S,) * len(_LINES))
    events, slow = _matcher(definitions).scan(block), _matcher(definitions, use_hyperscan=False).scan(block)
    assert _by_detector(events, tuple(definitions)) == _by_detector(slow, tuple(definitions))
    assert len({event.detector for event in events}) > 30


@pytest.mark.parametrize(
    ("date", "is_live", "expected_s", "misdated", "outdated"),
    [
        ("2026-11-23 17:33:30", True, _NOW_S - 30, 0, 0),
        ("2026-11-23 17:34:30", True, _NOW_S, 0, 0),
        ("2026-11-23 17:33:00", True, _NOW_S - 60, 0, 0),
        ("2026-11-23 17:32:59", True, _NOW_S, 1, 0),
        ("2026-11-23 17:35:01", True, _NOW_S, 1, 0),
        ("", True, _NOW_S, 0, 0),
        ("2026-11-23 17:33:30", False, _NOW_S - 30, 0, 0),
        ("2026-11-23 17:24:00", False, _NOW_S - 600, 0, 0),
        ("2026-11-23 17:23:59", False, None, 0, 1),
        ("2026-11-23 17:35:00", False, _NOW_S, 0, 0),
        ("2026-11-23 17:35:01", False, _NOW_S, 1, 0),
        ("2026-02-30 17:34:00", True, _NOW_S, 0, 0),
        ("2026-02-30 17:34:00", False, None, 0, 1),
        ("", False, None, 0, 1),
    ],
)
def test_when_it_happened(date: str, is_live: bool, expected_s: float | None, misdated: int, outdated: int) -> None:
    """A failure happened when its date says, if that can be; one written just now counts in any case."""
    block = _block(f"{date} bad u 192.0.2.1".strip(), is_live=is_live)
    for use_hyperscan in (True, False):
        matcher = _matcher({"d": _BAD}, use_hyperscan=use_hyperscan)
        assert [event.time_s for event in matcher.scan(block)] == ([] if expected_s is None else [expected_s])
        stats = matcher.stats["d"]
        assert (stats.misdated, stats.outdated, stats.failures) == (misdated, outdated, int(expected_s is not None))


def test_times_of_the_journal() -> None:
    """Times that the source knows belong to the lines of the same number, candidates or not."""
    lines = ("bad u 192.0.2.1", "other", "", "bad u 192.0.2.2", "bad u 192.0.2.3")
    events = _scan(_BAD, *lines, times_s=tuple(_NOW_S - 10 + number for number in range(5)))
    assert [_NOW_S - event.time_s for event in events] == [10, 7, 6]


@pytest.mark.parametrize(("findtime_s", "found"), [(8.0, []), (10.0, ["192.0.2.1"])])
def test_findtime(findtime_s: float, found: list[str]) -> None:
    """How far back lines count is each detector's own; those of others do not matter."""
    matcher = _matcher({"d": _BAD, "e": _BAD}, findtimes_s={"d": findtime_s, "e": 5.0})
    block = _block("2026-11-23 17:33:50 bad u 192.0.2.1", detectors=("d", "e"), is_live=False)
    assert _whose(matcher.scan(block)) == found
    assert matcher.stats["e"].outdated == 1


def test_dates_without_a_year() -> None:
    """At new year, December is that of last year; and what is remembered of a date does not outlive the year."""
    new_year_s = datetime.datetime(2027, 1, 1, 0, 0, 5, tzinfo=_UTC).timestamp()
    matcher = _matcher({"d": _BAD})
    for now_s, date, ago_s in [
        (new_year_s - 10, "Dec 31 23:59:50", 5),
        (new_year_s, "Dec 31 23:59:50", 15),
        (new_year_s, "Jan  1 00:00:04", 1),
        (new_year_s + 86400 * 365, "Dec 31 23:59:50", 15),
    ]:
        [event] = matcher.scan(_block(f"{date} bad u 192.0.2.1", now_s=now_s, is_live=False))
        assert now_s - event.time_s == ago_s


def test_timezones() -> None:
    """A date that names no zone is of its detector's; one that does is not."""
    zones = {"d": _UTC, "e": ZoneInfo("Asia/Kolkata"), "f": ZoneInfo("America/New_York")}
    dates = {"d": "2026-11-23 17:33:30", "e": "2026-11-23 23:03:30", "f": "2026-11-23 12:33:30"}
    of_zulu = {"d": [_NOW_S - 30] * 3, "e": [_NOW_S] * 3, "f": []}  # just now, in the future, long ago
    for local, date in dates.items():
        matcher = _matcher(dict.fromkeys(zones, _BAD), timezones=zones)
        events = matcher.scan(_block(f"{date} bad u ::1", f"{date}Z bad u ::2", detectors=tuple(zones), is_live=False))
        assert [event.time_s for event in events if (event.detector, event.source[-1]) == (local, 1)] == [_NOW_S - 30]
        assert [event.time_s for event in events if event.source[-1] == 2] == of_zulu[local]


@pytest.mark.parametrize("writer", [SSHD, None])
@pytest.mark.parametrize("rule", [VOUCHED, EvidenceRule()])
@pytest.mark.parametrize("is_cut", [True, False])
def test_how_sure_that_is(writer: Writer | None, rule: EvidenceRule, is_cut: bool) -> None:
    """A failure is proven only if the filter's lines can prove, who wrote this one is known, and all of it is there."""
    definition = _definition(r"bad <ADDR>", evidence=rule)
    [event] = _scan(definition, "bad 192.0.2.1 x", writer=writer, is_cut=is_cut)
    is_proof = rule is VOUCHED and writer is SSHD and not is_cut
    assert event.strength is (Strength.PROVEN if is_proof else Strength.SPOOFABLE)
    assert bool(event.doubt) is not is_proof


@pytest.mark.parametrize("expression", ["bad <ADDR>", "bad <ADDR>$", "bad <HOST>$", r"bad <ADDR>(?::\d+)?"])
@pytest.mark.parametrize("line", ["bad 192.0.2.1", "bad 2001:db8::1", "bad [192.0.2.1"])
def test_no_address_at_the_end_of_a_cut_line(expression: str, line: str) -> None:
    """A client that makes a line long enough decides where it is cut: in an address, or behind one of its own."""
    assert _scan(_definition(expression), line, is_cut=True) == []


def test_lines_that_prove_nothing_add_nothing_to_those_that_prove() -> None:
    """A forged line of the same connection names no address for a genuine one; the genuine one helps a lesser one."""
    definition = _definition(
        r"^from <ADDR>$",
        r"^Failed$",
        r"^<F-NOFAIL>end</F-NOFAIL> <ADDR>$",
        prefregex=r"(?<=\[)<F-MLFID>\d+</F-MLFID>\]: <F-CONTENT>.+</F-CONTENT>$",
        evidence=VOUCHED,
    )
    forged, genuine = ("x[7]: end 192.0.2.66",), ("x[7]: Failed",)
    matcher = _matcher({"d": definition})
    assert matcher.scan(_block(*forged)) == []
    assert matcher.scan(_block(*genuine, writer=SSHD)) == []
    [event] = matcher.scan(_block("x[7]: end 192.0.2.1"))
    assert (_whose([event]), event.strength) == (["192.0.2.1"], Strength.SPOOFABLE)
    [event] = matcher.scan(_block("x[7]: end 192.0.2.1", writer=SSHD))
    assert (_whose([event]), event.strength) == (["192.0.2.1"], Strength.PROVEN)


def test_lines_of_different_strength_are_not_joined() -> None:
    """An expression over several lines takes them from one kind of writer."""
    definition = _definition("Failed<SKIPLINES>.*from <ADDR>", maxlines=3, evidence=VOUCHED)
    matcher = _matcher({"d": definition})
    assert matcher.scan(_block("Failed")) == []
    assert matcher.scan(_block("from 192.0.2.1", writer=SSHD)) == []
    assert _whose(matcher.scan(_block("from 192.0.2.66"))) == ["192.0.2.66"]


def test_users_and_networks() -> None:
    """Names are cut at 64 characters, whatever these are; a network's length is told, an absurd one is not."""
    lines: list[str | bytes] = [
        f"bad {'é' * 100} 192.0.2.1",
        "bad a b 2001:db8::/32",
        "bad  192.0.2.0/9999",
        b"bad \xff\x00 ::ffff:192.0.2.1",
    ]
    events = _scan(_BAD, *lines)
    assert [event.user for event in events] == ["é" * 64, "a b", "", "\ufffd\x00"]
    assert [event.prefix_length for event in events] == [None, 32, None, None]
    assert _whose(events) == ["192.0.2.1", "2001:db8::", "192.0.2.0", "192.0.2.1"]


@pytest.mark.parametrize("network", ["192.0.2.0/33", "192.0.2.0/99", "2001:db8::/129"])
def test_no_such_network(network: str) -> None:
    """A prefix longer than its address is told to nobody."""
    assert all(event.prefix_length is None for event in _scan(_BAD, f"bad u {network}"))


def test_who_cannot_be_told() -> None:
    """Names are never resolved, and what only looks like an address is none: both are counted as unusable."""
    matcher = _matcher({"d": _definition("bad (?:<HOST>|<F-ID/>)$")})
    assert matcher.scan(_block("bad localhost", "bad 300.1.1.1", "bad 1:2:3", "bad %%", "bad 192.0.2.1")) == [
        AuthFailure(
            _NOW_S, "d", bytes([192, 0, 2, 1]), Strength.SPOOFABLE, "/log", doubt=NOT_VETTED, line="bad 192.0.2.1"
        )
    ]
    assert (matcher.stats["d"].unusable, matcher.stats["d"].failures) == (4, 1)


@pytest.mark.xfail(
    strict=True, reason="a date may touch a word where it begins or ends with what is none: text is not split"
)
@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("", "host@4000000041f4104f00000000 sshd: bad u ::1"),
        ("", "host+01:00 Nov 23 18:33:59 sshd: bad u ::1"),
        (r"%Y-%m-%d %H:%M:%S\s", "host 2026-11-23 17:33:59 sshd: bad u ::1"),
        (r"\s\[%Y-%m-%d %H:%M:%S\]", "host [2026-11-23 17:33:59] sshd: bad u ::1"),
        (r"^host(%Y-%m-%d %H:%M:%S)", "host2026-11-23 17:33:59 sshd: bad u ::1"),
    ],
)
def test_a_date_that_touches_a_word(pattern: str, line: str) -> None:
    """A line is found whose date, with the space around it, was cut out between two words of what is required."""
    assert len(_scan(_definition(r"^host sshd: bad \w <ADDR>$", date=pattern), line)) == 1


def test_dates_of_other_lines_do_not_count() -> None:
    """A line without a date was written now, if we were there; if not, nobody knows, and it does not count."""
    lines = "2026-11-23 17:33:50 other", "2026-11-23 17:33:51 bad u ::2", "bad u ::1"
    assert [event.time_s for event in _scan(_BAD, *lines)] == [_NOW_S - 9, _NOW_S]
    assert [event.time_s for event in _scan(_BAD, *lines, is_live=False)] == [_NOW_S - 9]


def test_an_empty_content() -> None:
    """Where the prefix's content is empty, the failregex are held against the whole line."""
    assert (
        len(_scan(_definition("^<ADDR> failed:$", prefregex=r"^\S+ failed:<F-CONTENT>.*</F-CONTENT>$"), "::1 failed:"))
        == 1
    )


def test_faults_and_strangers() -> None:
    """A filter that is wrong is named, the others work; detectors that nobody knows are passed over."""
    matcher = LogMatcher({"d": _BAD, "e": _definition("bad")}, timezones={"d": _UTC})
    assert list(matcher.faults) == ["e"]
    assert "names the source of the failure" in matcher.faults["e"]
    assert list(matcher.stats) == ["d"]
    assert _whose(matcher.scan(_block("bad u ::1", detectors=("e", "x", "d")))) == ["::1"]
    assert matcher.scan(_block("bad u ::1", detectors=("e", "x"))) == matcher.scan(_block()) == []


def test_a_scan_in_parts() -> None:
    """A scan that is over time goes on where it was, and finds in parts what it finds at once."""
    block = _block(*(f"bad u{number} ::{number % 9 + 1}" for number in range(20)))
    scan, parts = _matcher({"d": _BAD}).begin(block), list[list[AuthFailure]]()
    while scan.is_waiting:
        assert scan.run(until_s=0.0) == []
        assert scan.has_more
        time.sleep(0.001)
    while not parts or scan.has_more:
        parts.append(scan.run(until_s=0.0))
    assert [len(part) for part in parts] == [1] * 20 + [0]
    assert [event for part in parts for event in part] == _scan(_BAD, *block.data.decode().splitlines())
