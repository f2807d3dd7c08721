"""Dates that fail2ban reads, and how tests read them."""

import datetime
from zoneinfo import ZoneInfo

from monitor.filters.dates import DateDetector

ZURICH = ZoneInfo("Europe/Zurich")
UTC = datetime.UTC
NOW_S = 1124013600.0  # Sunday, 14 August 2005, 12:00 in Zurich: "now" of fail2ban's own tests
SAMPLE_S = 1106513999.0  # 23 January 2005, 21:59:59 in Zurich
TAIL = "[sshd] error: PAM: Authentication failure"
AT_ANY_PLACE = ("(?:%a )?", "(?:%Z )?", "(?:%z )?", "TAI64N")  # begin with what may be missing, or with no word


def at(text: str, zone: datetime.tzinfo = ZURICH) -> float:
    """Return the time that clocks in a zone show as this ISO date."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def read(
    line: str, pattern: str = "", now_s: float = NOW_S, zone: datetime.tzinfo = ZURICH
) -> tuple[str, float | None] | None:
    """Return what a new detector cuts out of a line, and its time."""
    dated = DateDetector(pattern, timezone=zone).find(line, now_s)
    return dated and (line[dated.start : dated.end], dated.time_s)


DEFAULTS = [
    ("2005-01-23 21:59:59", "%ExY(?P<_sep>"),
    ("2005-01-23 21:59:59,000", "%ExY(?P<_sep>"),
    ("2005/01/23 21:59:59", "%ExY(?P<_sep>"),
    ("2005.01.23 21:59:59", "%ExY(?P<_sep>"),
    ("2005-01-23T20:59:59.252Z", "%ExY(?P<_sep>"),
    ("2005-01-23T15:59:59-05:00", "%ExY(?P<_sep>"),
    ("2005-01-23T20:59:59.123456789Z", "%ExY(?P<_sep>"),
    ("Jan 23 21:59:59", "(?:%a )?%b %d %k"),
    ("Sun Jan 23 21:59:59", "(?:%a )?%b %d %k"),
    ("Sun Jan 23 21:59:59.011 2005", "(?:%a )?%b %d %k"),
    ("Sun Jan 23 2005 21:59:59", "(?:%a )?%b %d %ExY"),
    ("23/01/2005 21:59:59", "%d(?P<_sep>[-/])%m"),
    ("23/01/05 21:59:59", "%d(?P<_sep>[-/])%m"),
    ("23-01-2005 21:59:59", "%d(?P<_sep>[-/])%m"),
    ("23/Jan/2005:21:59:59", "%d(?P<_sep>[-/])%b"),
    ("23/Jan/2005:21:59:59 +0100", "%d(?P<_sep>[-/])%b"),
    ("23-Jan-2005 21:59:59.02", "%d(?P<_sep>[-/])%b"),
    ("01/23/2005:21:59:59", "%m/%d/%ExY"),
    ("01-23-2005 21:59:59.252", "%m-%d-%ExY"),
    ("1106513999", "EPOCH"),
    ("1106513999.000", "EPOCH"),
    ("<01/23/05@21:59:59>", "^<%m"),
    ("050123 21:59:59", "%Exy%Exm"),
    ("Jan 23, 2005 9:59:59 PM", "%b %d, %ExY"),
    ("Jan-23-05 21:59:59", "^%b-%d"),
    ("20050123T215959", "%ExY%Exm%Exd"),
    ("20050123 215959.5+01:00", "%ExY%Exm%Exd"),
    ("20050123-21:59:59", "%ExY%Exm%Exd"),
    ("CET Jan 23 21:59:59", "(?:%Z )?"),
    ("-05:00 Jan 23 15:59:59.011 2005", "(?:%z )?"),
    ("@4000000041f4104f00000000", "TAI64N"),
]


NGINX = r"""{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?
            ^[^\[]*\[({DATE})
            {^LN-BEG}"""
EJABBERD = r"""^(?:=[^=]+={3,} )?(%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?)
               ^I\(()**"""
TINE = r"""^[^-]+ -- [^-]+ -- - ({DATE})
           {^LN-BEG}"""
CATALINA = r"""^%b %d, %ExY %I:%M:%S %p
               ^WARNING:()**
               {^LN-BEG}"""
