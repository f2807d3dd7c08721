"""Sessions of administrators, from utmp and systemd-logind."""

import ipaddress
import os
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import format_address
from monitor.model.bans import ADMIN_GROUPS
from monitor.node.administrators import Administrators
from monitor.node.directory import Account, Directory
from monitor.node.sessions import (
    MAX_SESSIONS,
    NATIVE_UTMP,
    UTMP_32_BIT_TIMES,
    UTMP_64_BIT_TIMES,
    UtmpLayout,
    is_running,
    parse_logind_session,
    parse_utmp,
    read_sessions,
)
from tests.support.daemon import wait_for

LOGIND = f"""# This is private data. Do not parse.
UID=0
USER=root
ACTIVE=1
STATE=active
REMOTE=1
TYPE=tty
CLASS=user
SCOPE=session-4.scope
REMOTE_HOST=2001:db8::7
SERVICE=sshd
TTY=pts/3
LEADER={os.getpid()}
"""


ADMINISTRATORS = frozenset({"root", "alice"})


def utmp_record(
    address: str,
    *,
    user: str = "root",
    line: str = "pts/0",
    kind: int = 7,
    layout: UtmpLayout = NATIVE_UTMP,
    pid: int = os.getpid(),
) -> bytes:
    """Return a record as sshd writes it."""
    packed = ipaddress.ip_address(address).packed
    head = struct.pack("=hxxi32s4s32s256s", kind, pid, line.encode(), b"ts/0", user.encode(), address.encode())
    return (head.ljust(layout.address_at, b"\0") + packed).ljust(layout.record_bytes, b"\0")


@pytest.mark.parametrize("layout", [UTMP_32_BIT_TIMES, UTMP_64_BIT_TIMES])
def test_remote_logins_are_found_in_both_layouts(layout: UtmpLayout) -> None:
    """IPv4 is in the first word alone, IPv6 in all four; user and terminal are told."""
    data = utmp_record("192.0.2.7", layout=layout) + utmp_record("2001:db8::7", user="alice", layout=layout)
    found = [(format_address(one.address), one.user, one.terminal) for one in parse_utmp(data, layout)]
    assert found == [("192.0.2.7", "root", "pts/0"), ("2001:db8::7", "alice", "pts/0")]


def test_only_remote_logins_in_force_count() -> None:
    """Ended logins, boot records, local ones and loopback are passed over; an incomplete last record too."""
    records = [
        utmp_record("192.0.2.7", kind=8),
        utmp_record("192.0.2.7", kind=2),
        utmp_record("0.0.0.0"),
        utmp_record("127.0.0.1"),
        utmp_record("::1"),
        utmp_record("192.0.2.8")[:-1],
    ]
    assert parse_utmp(b"".join(records)) == []


def test_a_host_by_name_does_not_count() -> None:
    """What a terminal emulator lets any user write into ut_host protects nobody."""
    record = bytearray(utmp_record("0.0.0.0"))
    record[76 : 76 + 9] = b"192.0.2.1"
    assert parse_utmp(bytes(record)) == []


def test_a_mapped_address_is_folded() -> None:
    """A daemon that listens on IPv6 alone names IPv4 clients as ::ffff:a.b.c.d."""
    assert [format_address(one.address) for one in parse_utmp(utmp_record("::ffff:192.0.2.7"))] == ["192.0.2.7"]


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_a_utmp(data: bytes) -> None:
    """Whatever is in the file, parsing returns addresses and printable names."""
    for session in parse_utmp(b"\7\0" + data):
        assert len(session.address) in (4, 16)
        assert (session.user + session.terminal).isprintable()


@given(st.text())
def test_arbitrary_text_is_a_session_file(text: str) -> None:
    """Whatever is in the file, parsing does not raise."""
    parse_logind_session("REMOTE=1\nREMOTE_HOST=192.0.2.1\n" + text)


def test_a_logind_session_is_understood() -> None:
    """A remote session that is not closing tells address, user and terminal."""
    session = parse_logind_session(LOGIND)
    assert session
    assert (format_address(session.address), session.user, session.terminal) == ("2001:db8::7", "root", "pts/3")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("REMOTE=1", "REMOTE=0"),
        ("CLASS=user", "CLASS=manager"),
        ("CLASS=user", "CLASS=background"),
        ("CLASS=user", "CLASS=greeter"),
        ("CLASS=user\n", ""),
        ("STATE=active", "STATE=closing"),
        ("HOST=2001:db8::7", "HOST=client.example"),
        ("HOST=2001:db8::7", "HOST=::1"),
        ("REMOTE_HOST=2001:db8::7\n", ""),
    ],
)
def test_other_logind_sessions_do_not_count(old: str, new: str) -> None:
    """Local, ending, of a service manager, from a host by name, from the node itself, from nowhere."""
    assert old in LOGIND
    assert parse_logind_session(LOGIND.replace(old, new)) is None


def test_one_entry_for_each_address(tmp_path: Path) -> None:
    """One who is in both files counts once, with a reason for people; logind's other files are passed over."""
    (tmp_path / "utmp").write_bytes(utmp_record("2001:db8::7", line="pts/9") + utmp_record("192.0.2.7"))
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    (sessions / "4").write_text(LOGIND)
    (sessions / "5").write_text(LOGIND.replace("::7", "::8").replace("TTY=pts/3\n", ""))
    (sessions / ".#tmp").write_text(LOGIND.replace("::7", "::9"))
    entries, notices = read_sessions(ADMINISTRATORS, tmp_path / "utmp", sessions)
    assert [(str(entry.network), entry.reason) for entry in entries] == [
        ("2001:db8::7", "administrator's session: root on pts/9"),
        ("192.0.2.7", "administrator's session: root on pts/0"),
        ("2001:db8::8", "administrator's session: root on sshd"),
    ]
    assert notices == []


def test_no_files_no_sessions(tmp_path: Path) -> None:
    """A system without utmp and logind is no fault."""
    assert read_sessions(ADMINISTRATORS, tmp_path / "utmp", tmp_path / "sessions") == ([], [])


def test_their_number_is_bounded_and_said(tmp_path: Path) -> None:
    """Of more remote ends than the bound the first are protected, and a notice says so."""
    utmp = tmp_path / "utmp"
    utmp.write_bytes(b"".join(utmp_record(f"10.0.{n >> 8}.{n & 255}") for n in range(1, MAX_SESSIONS + 10)))
    entries, notices = read_sessions(ADMINISTRATORS, utmp, tmp_path)
    assert len(entries) == MAX_SESSIONS
    assert "only the first 256" in notices[0]


GROUPS = {"root": 0, "sudo": 27, "operators": 900}
ACCOUNTS = {
    "root": Account(0, "/bin/bash", frozenset({0})),
    "toor": Account(0, "/usr/sbin/nologin", frozenset({0})),
    "alice": Account(1000, "/bin/zsh", frozenset({1000, 27})),
    "primary": Account(1001, "", frozenset({27})),
    "operator": Account(1002, "/bin/sh", frozenset({1002, 900})),
    "bob": Account(1003, "/bin/bash", frozenset({1003})),
    "upload": Account(1004, "/usr/sbin/nologin", frozenset({1004, 27})),
    "mirror": Account(1005, "/usr/lib/openssh/sftp-server", frozenset({27})),
    "backup": Account(1006, "/bin/false", frozenset({27})),
}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (("root", "sudo", "wheel"), {"root", "toor", "alice", "primary"}),
        (("operators",), {"root", "toor", "operator"}),
        ((), {"root", "toor"}),
        (("wheel",), {"root", "toor"}),
    ],
)
def test_administrators_are_root_and_members_of_groups(groups: tuple[str, ...], expected: set[str]) -> None:
    """By any group with its primary one; neither accounts without a shell, nor unknown users, nor unknown groups."""
    administrators = Administrators(groups, Directory(ACCOUNTS.get, GROUPS.get))
    assert {user for user in (*ACCOUNTS, "unknown", "", "a?b") if user in administrators} == expected


def test_users_are_looked_up_once_and_not_without_bound() -> None:
    """A directory service is asked once for each user; beyond the bound nobody is an administrator."""
    asked: list[str] = []

    def account_of(name: str) -> Account:
        asked.append(name)
        return ACCOUNTS["root"]

    administrators = Administrators((), Directory(account_of, GROUPS.get))
    assert all("root" in administrators for _ in range(9))
    assert asked == ["root"]
    assert sum(str(number) in administrators for number in range(1000)) == len(asked) - 1 < 300


def test_users_of_this_system_are_found() -> None:
    """Root is an administrator, nobody is not; with the databases of the system."""
    administrators = Administrators(("root", "nogroup"), Directory())
    assert "root" in administrators
    assert "nobody" not in administrators
    assert "no-such-user" not in administrators


def test_a_directory_that_does_not_answer_holds_nobody() -> None:
    """The last answers count, nothing is asked meanwhile, and that is noticed; afterwards all is as before."""
    free, asked = threading.Event(), []

    def account_of(name: str) -> Account | None:
        asked.append(name)
        if name == "slow":
            free.wait(20)
        return ACCOUNTS.get("alice")

    directory = Directory(account_of, GROUPS.get, timeout_s=0.05)
    assert "alice" in Administrators(("sudo",), directory)
    assert directory.trouble == ""
    try:
        administrators = Administrators(("sudo",), directory)
        assert "slow" not in administrators
        assert "did not answer within 0.05 s" in directory.trouble
        assert "alice" in administrators
        assert "stranger" not in administrators
        assert asked == ["alice", "slow"]
    finally:
        free.set()
    wait_for(lambda: not directory.trouble, "the lookup to end")
    assert "stranger" in Administrators(("sudo",), directory)


def test_configured_groups_that_do_not_exist_are_named() -> None:
    """A misspelt one protects nobody; of the usual ones no distribution has all."""
    administrators = Administrators((*ADMIN_GROUPS, "operator"), Directory(ACCOUNTS.get, GROUPS.get))
    assert administrators.unknown_groups == ["operator"]


def test_sessions_of_others_and_of_dead_processes_protect_nobody(tmp_path: Path) -> None:
    """An upload account, a record that a crash left behind, and one without a process; a notice names the first."""
    utmp, sessions = tmp_path / "utmp", tmp_path / "sessions"
    sessions.mkdir()
    (sessions / "4").write_text(LOGIND.replace(f"LEADER={os.getpid()}", "LEADER=4194305"))
    (sessions / "5").write_text(LOGIND.replace("LEADER=", "OTHER="))
    utmp.write_bytes(utmp_record("192.0.2.7", pid=4194305) + utmp_record("192.0.2.8", pid=0))
    assert read_sessions(ADMINISTRATORS, utmp, sessions) == ([], [])
    utmp.write_bytes(utmp_record("192.0.2.7", user="upload") + utmp_record("192.0.2.8", user="alice"))
    entries, notices = read_sessions(ADMINISTRATORS, utmp, sessions)
    assert [str(entry.network) for entry in entries] == ["192.0.2.8"]
    assert notices == ["remote sessions of users who are in none of bans.protect.admin_groups are not protected"]


@pytest.mark.parametrize(("pid", "expected"), [(1, True), (0, False), (-1, False), (1 << 31, False), (4194305, False)])
def test_whether_a_process_runs(pid: int, expected: bool) -> None:
    """Numbers that signal groups or everybody are no process."""
    assert is_running(pid) is expected
