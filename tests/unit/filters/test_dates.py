"""Which date of a line counts, what is remembered of it, hostile text."""

import datetime
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.dates import Dated, DateDetector
from tests.unit.filters.dates_support import CATALINA, DEFAULTS, EJABBERD, NGINX, NOW_S, SAMPLE_S, UTC, ZURICH, at, read


def test_template_follows_the_log() -> None:
    """A date in what others write does not count while the log's own date stands where it always stood."""
    detector = DateDetector(timezone=ZURICH)
    for _ in range(20):
        line = "db mysqld[7]: 050813  9:00:00 [Warning] refused"
        dated = detector.find(line, NOW_S)
        assert dated is not None
        assert line[dated.start : dated.end] == "050813  9:00:00"
    assert detector.template == "%Exy%Exm%Exd  ?%H:%M:%S"
    line = "db mysqld[7]: 050813  9:00:01 [Warning] user 2003-03-07 17:05:01"
    dated = detector.find(line, NOW_S)
    assert dated is not None
    assert line[dated.start : dated.end] == "050813  9:00:01"
    line = "db mysqld[7]: 2005-08-13 09:00:02 user 030307 17:05:01"
    for _ in range(20):
        dated = detector.find(line, NOW_S)
        assert dated is not None
        assert line[dated.start : dated.end] == "2005-08-13 09:00:02"


def test_begin_goes_before_the_rest() -> None:
    """A date at the line's begin is preferred to one of an earlier template further right."""
    assert read("[23/Jan/2005:21:59:59 +0100] 2003-03-07 17:05:01") == ("23/Jan/2005:21:59:59 +0100", SAMPLE_S)


def test_memory_follows_the_clock() -> None:
    """What a text was found to say is forgotten when now makes it say something else, forward and backward."""
    detector = DateDetector("^%H:%M:%S", timezone=UTC)
    morning_s, evening_s = at("2024-06-14T08:00", UTC), at("2024-06-14T20:00", UTC)
    for now_s, expected in [
        (morning_s, "2024-06-13T12:00"),
        (evening_s, "2024-06-14T12:00"),
        (morning_s, "2024-06-13T12:00"),
        (evening_s + 86400, "2024-06-15T12:00"),
    ]:
        for _ in range(2):
            assert detector.find("12:00:00", now_s) == Dated(0, 8, at(expected, UTC))


def test_fractions_and_ends() -> None:
    """Lines of one second share what is remembered, though their fractions differ in length and zones in text."""
    detector = DateDetector(timezone=ZURICH)
    for fraction in ("", ".1", ".123456", ".12"):
        for zone, offset_h in (("Z", 0), ("+02:00", 2), ("-05:00", -5)):
            text = f"2024-06-14T11:00:00{fraction}{zone}"
            expected_s = at("2024-06-14T11:00", UTC) - offset_h * 3600
            assert detector.find(text + " host", NOW_S) == Dated(0, len(text), expected_s, is_zoned=True)


def test_date_beside_what_is_cut() -> None:
    """What is cut out need not be all of the date: the pattern's first group is, and the rest still counts."""
    for pattern, cut in (
        (r"^%Y-%m-%d (x)", (0, 4)),
        (r"^(?:(?=%Y-%m-%d )....)(-)", (0, 4)),
        (r"^(..)%y-%m-%d", (0, 2)),
    ):
        detector = DateDetector(pattern, timezone=UTC)
        for day in ("2005-01-23", "2005-01-24", "2005-02-23"):
            assert detector.find(day + " x", NOW_S) == Dated(*cut, at(day, UTC))


def test_memory_is_bounded() -> None:
    """However many different dates come, and long ones, few and short ones are remembered, and all are still read."""
    detector = DateDetector("%Y-%m-%d %H:%M:%S.*$", timezone=UTC)
    for second in range(3000):
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW_S + second)) + "x" * (50_000 * (second % 100 == 0))
        assert detector.find(text, NOW_S) == Dated(0, len(text), NOW_S + second)
        known = detector._ranked[0].known
        assert len(known) <= 1024
        assert all(dated.end <= 100 for dated in known.values())


@pytest.mark.parametrize(
    "junk", ["0123456789", " ", "abcdefghij", "-", "[", "jan 1 ", "2005-01-23 21:59 ", "1 :", "é٣"]
)
def test_hostile_junk(junk: str) -> None:
    """Lines of 64 KiB of junk hold no date and are not searched beyond their first 1,000 characters."""
    line = (junk * 65536)[:65536]
    detector = DateDetector(timezone=UTC)
    for _ in range(20):
        assert detector.find(line, NOW_S) is None
    assert detector.find(line[:900] + "\t2005-01-23 21:59:59", NOW_S) is not None
    assert read(line[:1000] + "\t2005-01-23 21:59:59") is None
    assert read(line + "\t2005-01-23 21:59:59", "%Y-%m-%d %H:%M:%S$") == ("2005-01-23 21:59:59", SAMPLE_S)


FORMS = [
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S+0000",
    "%Y/%m/%d %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S +0000",
    "%d-%b-%Y %H:%M:%S.%f",
    "%m/%d/%Y:%H:%M:%S",
    "<%m/%d/%y@%H:%M:%S>",
    "%y%m%d  %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b-%d-%y %H:%M:%S",
    "%Y%m%dT%H%M%S",
    "UTC %b %d %H:%M:%S %Y",
    "+00:00 %b %d %H:%M:%S %Y",
]
MOMENTS = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 12, 31), timezones=st.just(UTC))


@settings(deadline=None)  # expressions are compiled when they are first needed
@given(moment=MOMENTS, form=st.sampled_from(FORMS), tail=st.sampled_from([" host x", "] x", ""]))
def test_what_was_written_is_read(moment: datetime.datetime, form: str, tail: str) -> None:
    """A moment written in the form of any default template is read back to the second, from all of its text."""
    text = moment.strftime(form)
    expected_s = moment.replace(microsecond=0).timestamp()
    assert read(text + tail, zone=UTC) == (text, expected_s)


PIECES = st.sampled_from([
    *(text for text, _ in DEFAULTS), "Feb 29 10:00:00", "12:00:00", "23:59:60", " ", "[", "]", "x", " 2005", "+19:99",
    "Feb 30 99:99:99", "٣", "\udc80", ".999999999", "99999999999.9", "host ", "I(", "@ffffffffffffffffffffffff", "QQQ ",
])  # fmt: skip
LINES = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=5).map("".join)
TIMES = st.one_of(st.floats(0, 4e9), st.floats(NOW_S - 2e5, NOW_S + 2e5), st.sampled_from([0.0, -1e18, 1e18]))


@settings(deadline=None)  # expressions are compiled when they are first needed
@given(
    pattern=st.sampled_from(
        ["", "{^LN-BEG}", NGINX, EJABBERD, CATALINA, "LEPOCH", "%c", "%j %H", "{UNB}%d%m", "%z%a%U"]
    ),
    lines=st.lists(st.tuples(LINES, TIMES), max_size=6),
    zone=st.sampled_from([None, ZURICH, UTC]),
)
def test_never_raises(pattern: str, lines: list[tuple[str, float]], zone: datetime.tzinfo | None) -> None:
    """Whatever the lines and the clock, nothing is raised, and what is to be cut lies within the line."""
    detector = DateDetector(pattern, timezone=zone)
    for line, now_s in lines:
        dated = detector.find(line, now_s)
        assert dated is None or 0 <= dated.start <= dated.end <= len(line)


@settings(deadline=None)  # expressions are compiled when they are first needed
@given(
    pattern=st.sampled_from(
        [
            r"^(?:%a )?%b %d %H:%M:%S(?: %ExY)?",
            r"^(%H:%M:%S)(?:\.%f)? ?%Exz?",
            "%Y-%m-%d %H:%M(?: %z)?",
            r"^(..)%y-%m-%d",
        ]
    ),
    lines=st.lists(st.tuples(LINES, TIMES), min_size=2, max_size=8),
)
def test_memory_changes_nothing(pattern: str, lines: list[tuple[str, float]]) -> None:
    """A detector that has seen other lines, at other times, reads a line like one that has seen none."""
    detector = DateDetector(pattern, timezone=ZURICH)
    for line, now_s in lines:
        assert detector.find(line, now_s) == DateDetector(pattern, timezone=ZURICH).find(line, now_s)
