"""Entries as lines, their time, and who can have written them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.writers import JournalWriter, ordinary_reason
from monitor.sources.journal.format import MIN_LINE_BYTES, format_line, journal_writer, written_s
from monitor.sources.journal.match import Entry

SSHD: dict[str, bytes | list[bytes]] = {
    "_HOSTNAME": b"node1",
    "SYSLOG_IDENTIFIER": b"sshd",
    "SYSLOG_PID": b"77",
    "_PID": b"78",
    "_COMM": b"sshd-session",
    "MESSAGE": b"Failed",
}
HERE = b"0123456789abcdef0123456789abcdef"
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
    writer = journal_writer({"_MACHINE_ID": HERE, **fields}, HERE)
    assert (ordinary_reason(writer) == "") is trusted


@pytest.mark.parametrize(
    ("fields", "writer"),
    [
        (
            {"_TRANSPORT": b"syslog", "_SYSTEMD_UNIT": b"ssh.service", "_EXE": b"/usr/sbin/sshd", "_UID": b"0"},
            JournalWriter("syslog", "ssh.service", "/usr/sbin/sshd", 0),
        ),
        ({"_SYSTEMD_UNIT": b"ssh@0-10.0.0.1:22-10.0.0.2:9.service"}, JournalWriter(unit="ssh@.service")),
        ({"_SYSTEMD_UNIT": b"user@1000.service"}, JournalWriter(unit="user@.service")),
        ({"_SYSTEMD_UNIT": b"a@b"}, JournalWriter()),
        ({"_SYSTEMD_UNIT": [b"ssh.service", b"x.service"]}, JournalWriter(is_contained=False)),
        ({"_EXE": b"/usr/sbin/sshd (deleted)"}, JournalWriter(executable="/usr/sbin/sshd (deleted)")),
        ({"_EXE": b"/tmp/\xff"}, JournalWriter()),
        ({"_EXE": b"/tmp/a\nb"}, JournalWriter()),
        ({"_EXE": b"/" + b"a" * 4000}, JournalWriter()),
        ({"_UID": b"-1", "_AUDIT_LOGINUID": b"0"}, JournalWriter(has_login=True)),
        ({"UNIT": b"ssh.service", "EXE": b"/usr/sbin/sshd"}, JournalWriter()),
        ({"_SYSTEMD_CGROUP": b"/kubepods/besteffort/pod7c/0f"}, JournalWriter(is_contained=True)),
        ({"_SYSTEMD_CGROUP": b"/kubepods.slice/kubepods-burstable.slice/x.scope"}, JournalWriter(is_contained=True)),
        ({"_SYSTEMD_CGROUP": b"/docker/0f"}, JournalWriter(is_contained=True)),
        ({"_SYSTEMD_CGROUP": b"/machine.slice/libpod-0f.scope"}, JournalWriter(is_contained=True)),
        ({"_SYSTEMD_UNIT": b"docker-0f.scope"}, JournalWriter(unit="docker-0f.scope", is_contained=True)),
        (
            {"_SYSTEMD_UNIT": b"cri-containerd-0f.scope"},
            JournalWriter(unit="cri-containerd-0f.scope", is_contained=True),
        ),
        ({"_SYSTEMD_CGROUP": b"/system.slice/ssh.service"}, JournalWriter()),
        ({"_SYSTEMD_CGROUP": b"/user.slice/user-0.slice/session-3.scope"}, JournalWriter()),
        ({"_MACHINE_ID": HERE}, JournalWriter(is_local=True)),
        ({"_MACHINE_ID": b"0" * 32}, JournalWriter()),
    ],
)
def test_facts_about_the_writer(fields: Entry, writer: JournalWriter) -> None:
    """What journald reports is handed on; what is missing, doubled or malformed is not known."""
    assert journal_writer(fields, HERE) == writer


def test_without_a_machine_id_nothing_is_local() -> None:
    """Where this machine's id cannot be read, entries may be from anywhere."""
    assert not journal_writer({"_MACHINE_ID": b""}, b"").is_local
    assert ordinary_reason(journal_writer({"_UID": b"0"}, b"")) == "it is from another machine"


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
    writer = journal_writer(entry, HERE)
    assert len(writer.unit + writer.executable + writer.transport) <= 3 * 512
    assert written_s(entry, 0, is_believed=True) >= 0
    formatted = format_line(entry, max_line_bytes)
    assert (formatted is None) == ("MESSAGE" not in entry)
    if formatted:
        line, _ = formatted
        assert len(line) <= max_line_bytes
        assert LINE.fullmatch(line)
