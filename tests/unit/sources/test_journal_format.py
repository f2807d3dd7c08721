"""Entries as lines, their time, and who can have written them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.journal.format import MIN_LINE_BYTES, format_line, is_trusted, written_s
from monitor.sources.journal.match import Entry

SSHD: dict[str, bytes | list[bytes]] = {
    "_HOSTNAME": b"node1",
    "SYSLOG_IDENTIFIER": b"sshd",
    "SYSLOG_PID": b"77",
    "_PID": b"78",
    "_COMM": b"sshd-session",
    "MESSAGE": b"Failed",
}
# What every line looks like, whatever somebody wrote.
LINE = re.compile(rb"(?:[!-9;-Z\\^-~]{1,64} )?[!-9;-Z\\^-~]{1,64}(?:\[\d{1,10}\])?: [^\n\r\0]*\n")


@pytest.mark.parametrize(
    ("fields", "trusted"),
    [
        ({"_TRANSPORT": b"kernel"}, True),
        ({"_UID": b"0"}, True),
        ({"_UID": b"0", "_SYSTEMD_UNIT": b"session-3.scope"}, True),
        ({"_UID": b"0", "_SYSTEMD_UNIT": b"session-3.scope", "_AUDIT_LOGINUID": b"1000"}, True),
        ({"_UID": b"33", "_SYSTEMD_UNIT": b"apache2.service"}, True),
        ({"_UID": b"999"}, True),
        ({"_UID": b"1000"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"gitea.service"}, True),
        ({"_UID": b"62001", "_SYSTEMD_UNIT": b"app@7.service"}, True),
        ({"_SYSTEMD_UNIT": b"app.service"}, True),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"gitea.service", "_AUDIT_LOGINUID": b"1000"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"user@1000.service"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"user@1000.service", "_SYSTEMD_USER_UNIT": b"x.service"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"session-3.scope"}, False),
        ({"_UID": b"100000", "_SYSTEMD_UNIT": b"machine-a.scope"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"cron.service"}, False),
        ({"_UID": b"0", "_SYSTEMD_UNIT": b"cron.service"}, True),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"ssh@3-10.0.0.1:22.service"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"postfix@-.service"}, False),
        ({"_UID": b"1000", "_SYSTEMD_UNIT": b"php8.2-fpm.service"}, False),
        ({"_UID": b"0", "_SYSTEMD_UNIT": b"docker.service", "CONTAINER_NAME": b"x"}, False),
        ({"_UID": b"0", "CONTAINER_ID": b"x"}, False),
        ({"_UID": [b"0", b"1000"]}, False),
        ({"_SYSTEMD_UNIT": [b"a.service", b"b.service"]}, False),
        ({"_UID": b"-1"}, False),
        ({"_UID": b"0x0"}, False),
        ({"_UID": b""}, False),
        ({"_UID": b"1" * 5000}, False),
        ({"UID": b"0", "SYSTEMD_UNIT": b"a.service", "TRANSPORT": b"kernel", "SYSLOG_IDENTIFIER": b"kernel"}, False),
        ({"_TRANSPORT": b"syslog", "SYSLOG_IDENTIFIER": b"sshd", "SYSLOG_PID": b"1", "_UID": b"1000"}, False),
        ({}, False),
    ],
)
def test_who_is_trusted(fields: Entry, trusted: bool) -> None:
    """Only what journald itself says of the writer counts, and what users can get into counts for nothing."""
    assert is_trusted(fields) is trusted


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, b"node1 sshd[77]: Failed\n"),
        ({"SYSLOG_PID": None}, b"node1 sshd[78]: Failed\n"),
        ({"SYSLOG_PID": b"7x"}, b"node1 sshd[78]: Failed\n"),
        ({"SYSLOG_PID": b"1" * 11}, b"node1 sshd[78]: Failed\n"),
        ({"SYSLOG_PID": None, "_PID": None}, b"node1 sshd: Failed\n"),
        ({"SYSLOG_IDENTIFIER": None}, b"node1 sshd-session[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": b""}, b"node1 sshd-session[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": [b"a", b"b"]}, b"node1 a[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": None, "_COMM": None}, b"node1 unknown[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": b"postfix/smtpd"}, b"node1 postfix/smtpd[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": b"(systemd)"}, b"node1 (systemd)[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": b"a\nb c[1]: \xff"}, b"node1 a?b?c?1????[77]: Failed\n"),
        ({"SYSLOG_IDENTIFIER": b"x" * 65}, b"node1 " + b"x" * 64 + b"[77]: Failed\n"),
        ({"_HOSTNAME": None}, b"sshd[77]: Failed\n"),
        ({"MESSAGE": b"a\nnode1 sshd[1]: b\r\0c\n\n"}, b"node1 sshd[77]: a node1 sshd[1]: b  c\n"),
        ({"MESSAGE": b"\xff\xfe"}, b"node1 sshd[77]: \xff\xfe\n"),
        ({"MESSAGE": b""}, b"node1 sshd[77]: \n"),
        ({"MESSAGE": [b"a", b"b"]}, b"node1 sshd[77]: a b\n"),
        ({"_TRANSPORT": b"kernel", "SYSLOG_FACILITY": b"0"}, b"node1 kernel: Failed\n"),
        ({"_TRANSPORT": b"kernel", "SYSLOG_FACILITY": b"3"}, b"node1 sshd[77]: Failed\n"),
        ({"_TRANSPORT": b"syslog", "SYSLOG_FACILITY": b"0"}, b"node1 sshd[77]: Failed\n"),
    ],
)
def test_an_entry_is_the_line_that_journalctl_shows(changes: dict[str, bytes | None], line: bytes) -> None:
    """Host, identifier and process id stand before the message, and only they can."""
    entry = {name: value for name, value in (SSHD | changes).items() if value is not None}
    assert format_line(entry, 8192) == (line, False)


def test_an_entry_without_text_is_no_line() -> None:
    """Journal entries need no message; such an entry says nothing to a filter."""
    assert format_line({"_HOSTNAME": b"node1"}, 8192) is None


def test_the_longest_line_is_not_cut_and_one_byte_more_is() -> None:
    """The bound is for the whole line with its newline; blanks at the end of the room do not hide the cut."""
    room = 300 - len(b"node1 sshd[77]: \n")
    assert format_line(SSHD | {"MESSAGE": b"x" * room}, 300) == (b"node1 sshd[77]: " + b"x" * room + b"\n", False)
    assert format_line(SSHD | {"MESSAGE": b"x" * (room + 1)}, 300) == (b"node1 sshd[77]: " + b"x" * room + b"\n", True)
    hidden = b"from 192.0.2.1" + b" " * 300 + b"from 192.0.2.2"
    assert format_line(SSHD | {"MESSAGE": hidden}, 300) == (b"node1 sshd[77]: from 192.0.2.1\n", True)


@pytest.mark.parametrize(
    ("source", "believed", "expected_s"),
    [
        (b"1700000000500000", True, 1700000000.5),
        (b"1700000060000000", True, 1700000060.0),
        (b"1700000060000001", True, 1700000000.0),
        (b"1699999939999999", True, 1700000000.0),
        (b"1700000000500000", False, 1700000000.0),
        (b"soon", True, 1700000000.0),
        (b"9" * 5000, True, 1700000000.0),
        (None, True, 1700000000.0),
    ],
)
def test_the_writer_s_time_counts_where_it_is_sane(source: bytes | None, believed: bool, expected_s: float) -> None:
    """A trusted writer's time counts up to a minute off; otherwise it is the time at which journald had it."""
    entry = {} if source is None else {"_SOURCE_REALTIME_TIMESTAMP": source}
    assert written_s(entry, 1_700_000_000_000_000, is_believed=believed) == expected_s


_names = st.sampled_from(
    [
        *("_TRANSPORT", "_UID", "_SYSTEMD_UNIT", "_HOSTNAME", "_PID", "_COMM", "_AUDIT_LOGINUID", "MESSAGE"),
        *("SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_FACILITY", "_SOURCE_REALTIME_TIMESTAMP"),
    ]
)
_values = st.one_of(
    st.binary(max_size=400),
    st.sampled_from([b"kernel", b"0", b"1000", b"a.service", b"sshd[1]: ", b"x\nnode1 sshd[1]: Failed from 192.0.2.1"]),
)


@given(
    entry=st.dictionaries(_names, st.one_of(_values, st.lists(_values, min_size=2, max_size=3))),
    max_line_bytes=st.integers(MIN_LINE_BYTES, 600),
)
def test_any_entry_is_one_bounded_line(entry: Entry, max_line_bytes: int) -> None:
    """Whatever the fields hold, there is one line with a whole prefix, within the bound, and nothing raises."""
    assert is_trusted(entry) in (True, False)
    assert written_s(entry, 0, is_believed=True) >= 0
    formatted = format_line(entry, max_line_bytes)
    assert (formatted is None) == ("MESSAGE" not in entry)
    if formatted:
        line, _ = formatted
        assert len(line) <= max_line_bytes
        assert LINE.fullmatch(line)
