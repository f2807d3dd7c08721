"""Reads the remote addresses of administrators' sessions from utmp(5) and systemd-logind.

Only literal addresses count; names are never resolved, because the owner of the zone could choose what is protected.
For the same reason `ut_host` of utmp is not read: terminal emulators let any user write it (utempter), while
`ut_addr_v6` is written by the login service. A session counts if its user is an administrator by login (`su` changes
nothing) and its process still runs: records of crashed services stay in utmp.
"""

import os
import sys
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import msgspec

from monitor.files.changes import read_bounded
from monitor.model.addresses import Address, fold_mapped, host, parse_address
from monitor.model.bans import AllowEntry

UTMP = Path("/run/utmp")
LOGIND_SESSIONS = Path("/run/systemd/sessions")
"""The two paths whose change may change the sessions."""
MAX_SESSIONS = 256
_MAX_UTMP_BYTES = 1 << 20
_MAX_SESSION_BYTES = 65536
_MAX_SESSION_FILES = 4096
_MAX_WORD = 32

_USER_PROCESS = 7  # bits/utmp.h
_PID, _LINE, _USER = slice(4, 8), slice(8, 40), slice(44, 76)
_LOGIND_CLASSES = ("user", "user-early", "user-light")
"""Classes of sessions in which a person works; others are those of service managers, background jobs, greeters."""


class UtmpLayout(msgspec.Struct, frozen=True):
    """Offsets in glibc's struct utmp that differ between architectures, in bytes (bits/utmp.h)."""

    record_bytes: int
    address_at: int


UTMP_32_BIT_TIMES = UtmpLayout(384, 348)
"""x86-64, and all architectures whose 64-bit records equal the 32-bit ones."""
UTMP_64_BIT_TIMES = UtmpLayout(400, 360)
"""aarch64."""
NATIVE_UTMP = UTMP_64_BIT_TIMES if os.uname().machine == "aarch64" else UTMP_32_BIT_TIMES


class Session(msgspec.Struct, frozen=True):
    """One remote login."""

    address: Address
    user: str
    terminal: str
    pid: int
    """The process that leads the session."""


def is_running(pid: int) -> bool:
    """Whether a process exists; it need not be visible in /proc, nor ours."""
    if not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists, and we may not signal it
        return True
    return True


def read_sessions(
    administrators: Container[str],
    utmp: Path = UTMP,
    logind: Path = LOGIND_SESSIONS,
    is_alive: Callable[[int], bool] = is_running,
) -> tuple[list[AllowEntry], list[str]]:
    """Return an entry for each remote address of administrators, at most `MAX_SESSIONS`, and notices; never raises."""
    notices = []
    are_others = False
    data = read_bounded(utmp, _MAX_UTMP_BYTES) or b""
    if len(data) > _MAX_UTMP_BYTES:
        notices.append(f"{utmp} is larger than {_MAX_UTMP_BYTES} bytes; the rest is not read")
    sessions: dict[Address, Session] = {}
    for session in (*parse_utmp(data[:_MAX_UTMP_BYTES]), *_logind_sessions(logind)):
        if not is_alive(session.pid):
            continue
        if session.user in administrators:
            sessions.setdefault(session.address, session)
        else:
            are_others = True
    if are_others:
        notices.append("remote sessions of users who are in none of bans.protect.admin_groups are not protected")
    if len(sessions) > MAX_SESSIONS:
        notices.append(f"sessions from {len(sessions)} remote addresses: only the first {MAX_SESSIONS} are protected")
    return [_entry(session) for session in list(sessions.values())[:MAX_SESSIONS]], notices


def parse_utmp(data: bytes, layout: UtmpLayout = NATIVE_UTMP) -> list[Session]:
    """Return the active remote logins (USER_PROCESS); an incomplete last record is skipped."""
    sessions = []
    for start in range(0, len(data) - layout.record_bytes + 1, layout.record_bytes):
        record = data[start : start + layout.record_bytes]
        if record[:2] != _USER_PROCESS.to_bytes(2, sys.byteorder):
            continue
        raw = record[layout.address_at : layout.address_at + 16]
        address = fold_mapped(raw[:4] if not any(raw[4:]) else raw)  # IPv4 uses only the first word
        if _is_remote(address):
            pid = int.from_bytes(record[_PID], sys.byteorder)
            sessions.append(Session(address, _printable(record[_USER]), _printable(record[_LINE]), pid))
    return sessions


def parse_logind_session(text: str) -> Session | None:
    """Return the login of a session file of systemd-logind.

    None if it is local, closing, from a host name, or of a class in which nobody works.
    """
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    if values.get("REMOTE") != "1" or values.get("STATE") == "closing" or values.get("CLASS") not in _LOGIND_CLASSES:
        return None
    try:
        address = parse_address(values.get("REMOTE_HOST", "").partition("%")[0])
    except ValueError:
        return None
    if not _is_remote(address):
        return None
    terminal = values.get("TTY") or values.get("SERVICE", "")
    leader = values.get("LEADER", "")
    pid = int(leader) if leader.isascii() and leader.isdigit() and len(leader) <= 10 else 0
    return Session(address, _printable(values.get("USER", "").encode()), _printable(terminal.encode()), pid)


def _logind_sessions(directory: Path) -> Iterable[Session]:
    """Yield the remote logins in the session files of systemd-logind."""
    try:
        names = sorted(os.listdir(directory))[:_MAX_SESSION_FILES]  # noqa: PTH208 - names only
    except OSError:
        return
    for name in names:
        # next to each session file are its FIFO (`.ref`) and, while it is written, a temporary file
        if "." not in name and (data := read_bounded(directory / name, _MAX_SESSION_BYTES)):
            session = parse_logind_session(data.decode(errors="replace"))
            if session:
                yield session


def _entry(session: Session) -> AllowEntry:
    terminal = f" on {session.terminal}" if session.terminal else ""
    return AllowEntry(host(session.address), f"administrator's session: {session.user or 'unknown'}{terminal}")


def _is_remote(address: Address) -> bool:
    """Whether this is neither the unspecified nor a loopback address."""
    if len(address) == 4:
        return address[0] not in (0, 127)
    return any(address[:15]) or address[15] > 1


def _printable(raw: bytes) -> str:
    """Return a name up to the first zero byte: printable ASCII only, with bounded length."""
    text = raw.split(b"\0", 1)[0][:_MAX_WORD].decode("ascii", errors="replace")
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
