"""Times of container records: as `time.strptime` reads them, without what it loads."""

import calendar
import subprocess
import sys
import time

import pytest

from monitor.filters.containers import Times


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00",
        "2024-02-29T23:59:59",
        "2026-11-28T12:00:00",
        "2016-12-31T23:59:60",
        "2016-12-31T23:59:61",
        "1969-12-31t23:59:59",
        "9999-12-31T23:59:59",
    ],
)
def test_times_are_those_of_strptime(text: str) -> None:
    expected = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    assert list(Times([text.encode(), f"{text}.5Z".encode(), f"{text}+01:30".encode(), f"{text}-00:10".encode()])) == [
        expected,
        expected + 0.5,
        expected - 5400,
        expected + 600,
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "2023-02-29T00:00:00", "2024-13-01T00:00:00", "2024-01-01T24:00:00", "2024-01-01T00:60:00"),
        *("2024-01-01T00:00:62", "0000-01-01T00:00:00", "2024-01-01 00:00:00", "2024-01-01T00:00:00+x", "\xff"),
    ],
)
def test_what_is_no_time_is_unknown(text: str) -> None:
    (found,) = Times([text.encode("latin-1")])
    assert found != found


def test_the_first_record_needs_no_descriptor() -> None:
    """A daemon that has none left still reads logs that are open."""
    code = (
        "from monitor.cli import slim; slim.load(); import resource; from monitor.filters.containers import Times; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); "
        "assert list(Times([b'2024-01-01T10:00:00.5Z'])) == [1704103200.5]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
