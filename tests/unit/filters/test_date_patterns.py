"""What dates look like and say: every default template, the patterns of fail2ban's own filters, zones, rollovers."""

import time
from zoneinfo import ZoneInfo

import pytest

from monitor.filters.date_templates import templates
from monitor.filters.dates import Dated, DateDetector
from tests.unit.filters.dates_support import (
    AT_ANY_PLACE,
    CATALINA,
    DEFAULTS,
    EJABBERD,
    NGINX,
    NOW_S,
    SAMPLE_S,
    TAIL,
    TINE,
    UTC,
    ZURICH,
    at,
    read,
)


@pytest.mark.parametrize(("text", "template"), DEFAULTS)
def test_default_templates(text: str, template: str) -> None:
    """Each default template reads its date at the line's begin and (unless tied to it) later, but not within a word."""
    detector = DateDetector(timezone=ZURICH)
    found = detector.find(text + TAIL, NOW_S)
    assert found is not None
    assert found[:3] == (0, len(text), SAMPLE_S)
    assert detector.template.removeprefix("{^LN-BEG}").startswith(template)
    is_anchored = template == "EPOCH" or template.startswith("^")
    assert read("bogus-prefix " + text + TAIL) == (None if is_anchored else (text, SAMPLE_S))
    if not template.startswith(AT_ANY_PLACE):
        assert read("word-boundary" + text + TAIL) is None


def test_every_default_template_is_tested() -> None:
    """No default template is missing from the table above, but for the bare time (its own test)."""
    names = {template.name.removeprefix("{^LN-BEG}") for template in templates("")}
    untested = {name for name in names if not any(name.startswith(start) for _, start in DEFAULTS)}
    assert untested == {"%H:%M:%S"}


def test_bare_time() -> None:
    """A time alone is today's, or yesterday's if it is yet to come; only at the line's begin."""
    assert read("11:59:59 x") == ("11:59:59", NOW_S - 1)
    assert read("12:00:01 x") == ("12:00:01", NOW_S + 1 - 86400)
    assert read("x at 11:59:59") is None


@pytest.mark.parametrize(
    ("pattern", "line", "cut", "time_s"),
    [
        (NGINX, '192.0.2.1 - - [23/Jan/2005:21:59:59 +0100] "GET /"', "23/Jan/2005:21:59:59 +0100", SAMPLE_S),
        (NGINX, "2005/01/23 21:59:59 [error] 1#0: [x]", "2005/01/23 21:59:59", SAMPLE_S),
        (NGINX, "Jan 23 21:59:59 www nginx: x", "Jan 23 21:59:59", SAMPLE_S),
        (
            r"^[^\[]*(\[{DATE}\s*\])",
            "192.0.2.1 - [23/Jan/2005:21:59:59 +0100 ] x",
            "[23/Jan/2005:21:59:59 +0100 ]",
            SAMPLE_S,
        ),
        (r"^<\d+>\d+\s+{DATE}", "<38>1 2005-01-23T20:59:59Z host", "<38>1 2005-01-23T20:59:59Z", SAMPLE_S),
        (r'^<co ts="{DATE}"\s+', '<co ts="2005-01-23T21:59:59" pi="1">', '<co ts="2005-01-23T21:59:59" ', SAMPLE_S),
        ("^<W>{DATE}", "<W>2005-01-23 21:59:59.000 1 => <2>", "<W>2005-01-23 21:59:59.000", SAMPLE_S),
        ("^{DATE}", "1106513999 x", "1106513999", SAMPLE_S),
        ("^{DATE}", "2005-01-23 21:59:59,000 fail2ban", "2005-01-23 21:59:59,000", SAMPLE_S),
        ("^L %d/%m/%Y - %H:%M:%S", "L 23/01/2005 - 21:59:59: Bad", "L 23/01/2005 - 21:59:59", SAMPLE_S),
        ("^%Y:%m:%d-%H:%M:%S", "2005:01:23-21:59:59: x", "2005:01:23-21:59:59", SAMPLE_S),
        ("{^LN-BEG}%b-%d-%Exy %H:%M:%S\n{^LN-BEG}", "Jan-23-05 21:59:59 x", "Jan-23-05 21:59:59", SAMPLE_S),
        ("{^LN-BEG}TAI64N\n{^LN-BEG}", "@4000000041f4104f00000000 x", "@4000000041f4104f00000000", SAMPLE_S),
        (EJABBERD, "=INFO REPORT==== 2005-01-23 21:59:59 ===", "2005-01-23 21:59:59", SAMPLE_S),
        (EJABBERD, "I(<0.370.0>:ejabberd_c2s:1) : x", "", None),
        (CATALINA, "Jan 23, 2005 9:59:59 PM org.apache", "Jan 23, 2005 9:59:59 PM", SAMPLE_S),
        (CATALINA, "WARNING: Authentication attempt", "", None),
        ("^%H:%M:%S.%f", "11:59:59.123 [http] WARN", "11:59:59.123", NOW_S - 1),
        (r"^(?:%Y-)?%m-%d[ T]%H:%M:%S(?:\.%f)?", "01-23 21:59:59.000000 [WARN]", "01-23 21:59:59.000000", SAMPLE_S),
        ("^t=%Y-%m-%dT%H:%M:%S%z", "t=2005-01-23T21:59:59+0100 lvl=eror", "t=2005-01-23T21:59:59+0100", SAMPLE_S),
        (r"^\[%d/%b/%Y %H:%M:%S\]", "[23/Jan/2005 21:59:59] x", "[23/Jan/2005 21:59:59]", SAMPLE_S),
        ("{^LN-BEG}Epoch\n{^LN-BEG}", "[1106513999] nsd[1]: x", "1106513999", SAMPLE_S),
        ("%d/%b[^/]*/%Y:%H:%M:%S %z", "x 23/January/2005:21:59:59 +0100", "23/January/2005:21:59:59 +0100", SAMPLE_S),
        ("EPOCH", "type=USER_AUTH msg=audit(1106513999.252:987): x", "1106513999.252", SAMPLE_S + 0.252),
        (TINE, "ab -- none -- - 2005-01-23T20:59:59+00:00 WARN", "2005-01-23T20:59:59+00:00", SAMPLE_S),
        ("{NONE}", "Jan 23 21:59:59 x", "", None),
        (r"(?<=\|\s){LEPOCH}(?=\s\|)", "auth | 1106513999000000 | x", "1106513999000000", SAMPLE_S),
        (r"^type=\S+ msg=audit\(({EPOCH})", "type=A msg=audit(1106513999:9): x", "1106513999", SAMPLE_S),
        (r"^t=({LEPOCH};) ", "t=1106513999252; x", "1106513999252;", SAMPLE_S + 0.252),
        (r"^(?:t|T)={EPOCH};", "t=1106513999; x", "t=1106513999;", SAMPLE_S),
        ("LEPOCH", "1106513999252 x", "1106513999252", SAMPLE_S + 0.252),
        ("{^LN-BEG}LEPOCH", "[1106513999]: x", "1106513999", SAMPLE_S),
        ("(?i)**time:%ExY%Exm%ExdT%ExH%ExM%ExS**", "XTIME:20050123T215959X", "TIME:20050123T215959", SAMPLE_S),
        (r"\**%H:%M:%S %d.%m.%Y\**", "test*21:59:59 23.01.2005*test", "*21:59:59 23.01.2005*", SAMPLE_S),
        ("%H:%M:%S %d.%m.%Y$", "x at 21:59:59 23.01.2005", "21:59:59 23.01.2005", SAMPLE_S),
        ("^%y %U %A %H:%M:%S", "01 11 Wednesday 21:59:59", "01 11 Wednesday 21:59:59", at("2001-03-21T21:59:59")),
        ("^%y %W %w %H:%M", "01 11 0 21:59", "01 11 0 21:59", at("2001-03-18T21:59:00")),
        ("^%G-W%V-%u", "2005-W03-7", "2005-W03-7", at("2005-01-23")),
        ("^%Y %j", "2005 023", "2005 023", at("2005-01-23")),
        ("^%B %Exd %l:%ExM:%ExS %p", "January 23 12:59:59 am", "January 23 12:59:59 am", at("2005-01-23T00:59:59")),
        ("^100%% %x %X", "100% 01/23/05 21:59:59", "100% 01/23/05 21:59:59", SAMPLE_S),
        ("^(?P<Y>[0-9]+) day (?P<j>[0-9]+)", "2005 day 23", "2005 day 23", at("2005-01-23")),
    ],
)
def test_patterns(pattern: str, line: str, cut: str, time_s: float | None) -> None:
    """The patterns of fail2ban's own filters, and every notation they may use, cut and read what fail2ban would."""
    assert read(line, pattern) == (cut, time_s)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("{^LN-BEG}%Y-%m-%d", "x 2005-01-23"),
        ("{^LN-BEG}%Y-%m-%d", "###2005-01-23"),
        ("%H:%M:%S %d.%m.%Y", "x21:59:59 23.01.2005"),
        ("%H:%M:%S %d.%m.%Y", "21:59:59 23.01.2005x"),
        ("%ExY-%m-%d", "5005-01-23"),
        ("^%Y", " 2005"),
        ("%Y$", "2005 "),
        ("EPOCH", "123456789 "),
        ("EPOCH", "1106513999A"),
        ("EPOCH", "x 1106513999"),
        ("LEPOCH", "999999999999999999 x"),
        ("time:%Y", "TIME:2005"),
        ("^<W>{DATE}", "2005-01-23 21:59:59"),
    ],
)
def test_no_date(pattern: str, line: str) -> None:
    """Dates are not found within words, away from the line's begin where they are tied to it, or in another form."""
    assert read(line, pattern) is None


@pytest.mark.parametrize(
    ("zone", "time_s"),
    [
        ("", at("2017-01-23T15:00", ZURICH)),
        (" GMT", at("2017-01-23T15:00", UTC)),
        (" Z", at("2017-01-23T15:00", UTC)),
        ("CEST", at("2017-01-23T13:00", UTC)),
        (" NST", at("2017-01-23T18:30", UTC)),
        (" CET+0130", at("2017-01-23T12:30", UTC)),
        (" UTC-04", at("2017-01-23T19:00", UTC)),
        (" -10:45", at("2017-01-24T01:45", UTC)),
        (" +0945", at("2017-01-23T05:15", UTC)),
        (" QQQ", None),
        (" NZDT+19", None),
    ],
)
def test_zones(zone: str, time_s: float | None) -> None:
    """A zone in the line goes before the detector's; abbreviations have fixed offsets; an unknown one is unreadable."""
    assert read("2017-01-23 15:00:00" + zone, "^%Y-%m-%d %H:%M:%S(?: ?%Exz)?") == ("2017-01-23 15:00:00" + zone, time_s)


def test_system_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a zone of its own the detector reads dates as the system's clocks show them."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert DateDetector().find("2005-07-01 12:00:00", NOW_S) == Dated(0, 19, at("2005-07-01T16:00", UTC))
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Dec 31 23:59:59", "2025-01-01T00:00:01", "2024-12-31T23:59:59"),
        ("Jan  1 00:00:00", "2024-12-31T23:59:59", "2025-01-01T00:00:00"),
        ("Jan  2 00:00:00", "2024-12-31T23:59:59", "2024-01-02T00:00:00"),
        ("Jun 15 12:00:00", "2024-06-14T12:00:00", "2024-06-15T12:00:00"),
        ("Jun 15 12:00:01", "2024-06-14T12:00:00", "2023-06-15T12:00:01"),
        ("Feb 29 10:00:00", "2024-03-01T00:00:00", "2024-02-29T10:00:00"),
        ("Feb 29 10:00:00", "2025-01-10T00:00:00", "2024-02-29T10:00:00"),
        ("Feb 29 10:00:00", "2024-01-10T00:00:00", None),
        ("Feb 30 10:00:00", "2024-06-01T00:00:00", None),
        ("Jun 14 24:00:00", "2024-06-14T12:00:00", None),
        ("Jun 14 11:59:60", "2024-06-14T12:00:00", "2024-06-14T11:59:59"),
        ("Mar 31 02:30:00", "2024-03-31T12:00:00", "2024-03-31T02:30:00"),
        ("Oct 27 02:30:00", "2024-10-27T12:00:00", "2024-10-27T02:30:00"),
        ("23:59:59", "2025-01-01T00:00:01", "2024-12-31T23:59:59"),
        ("23:59:59", "2024-03-01T12:00:00", "2024-02-29T23:59:59"),
    ],
)
def test_rollover(text: str, now: str, expected: str | None) -> None:
    """Years and days that the line leaves out are guessed across New Year, leap days and changes of the clock."""
    assert read(text + " x", now_s=at(now)) == (text, at(expected) if expected else None)


def test_zone_decides_what_today_is() -> None:
    """A time with a zone is of the day that it is in that zone, not of the detector's day."""
    line, pattern, now_s = "00:59:00 +00:00", "^%H:%M:%S %z", at("2024-06-15T01:00", UTC)
    assert read(line, pattern, now_s, ZoneInfo("America/New_York")) == (line, now_s - 60)
    assert read("PDT Oct 24 18:03:35 x") == ("PDT Oct 24 18:03:35", at("2004-10-25T01:03:35", UTC))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%Q", "'%Q' is not a date field"),
        ("%Exb", "'%Exb' is not a date field"),
        ("50%", "'%' is not a date field"),
        ("%H %H", "redefinition of group"),
        ("(%Y", "not a valid regular expression"),
        ("%M {DATE}", "{DATE} is surrounded"),
        ("({DATE}", "not a valid regular expression"),
        ("[(]%%", "what to cut out"),
    ],
)
def test_bad_patterns(pattern: str, message: str) -> None:
    """A pattern that cannot be used is refused when the detector is made, with the pattern and the reason."""
    with pytest.raises(ValueError, match="datepattern ") as caught:
        DateDetector(pattern)
    assert message in str(caught.value)
    assert pattern in str(caught.value)
