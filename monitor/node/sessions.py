"""Who is logged in from elsewhere: the remote ends of administrators' sessions, from utmp(5) and systemd-logind.

Only literal addresses count; a name is never resolved, because whoever owns the zone would choose what is protected.
For the same reason utmp's `ut_host` is not read: terminal emulators let any user write there (utempter), while
`ut_addr_v6` is written by the login service.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from monitor.files.changes import read_bounded
from monitor.model.addresses import Address, fold_mapped, host, parse_address
from monitor.model.bans import AllowEntry

UTMP = Path("/run/utmp")
LOGIND_SESSIONS = Path("/run/systemd/sessions")
"""The two places whose change may change the sessions."""
MAX_SESSIONS = 256
_MAX_UTMP_BYTES = 1 << 20
_MAX_SESSION_BYTES = 65536
_MAX_SESSION_FILES = 4096
_MAX_WORD = 32

_USER_PROCESS = 7  # bits/utmp.h
_LINE, _USER = slice(8, 40), slice(44, 76)


class UtmpLayout(msgspec.Struct, frozen=True):
    """Where glibc's struct utmp has what differs between architectures, in bytes (bits/utmp.h)."""

    record_bytes: int
    address_at: int


UTMP_32_BIT_TIMES = UtmpLayout(384, 348)
"""x86-64, and wherever 64-bit records equal the 32-bit ones."""
UTMP_64_BIT_TIMES = UtmpLayout(400, 360)
"""aarch64."""
NATIVE_UTMP = UTMP_64_BIT_TIMES if os.uname().machine == "aarch64" else UTMP_32_BIT_TIMES


class Session(msgspec.Struct, frozen=True):
    """One login from elsewhere."""

    address: Address
    user: str
    terminal: str


def read_sessions(utmp: Path = UTMP, logind: Path = LOGIND_SESSIONS) -> tuple[list[AllowEntry], list[str]]:
    """Return an entry for each remote end, at most `MAX_SESSIONS`, and what could not be heeded; never raises."""
    notices = []
    data = read_bounded(utmp, _MAX_UTMP_BYTES) or b""
    if len(data) > _MAX_UTMP_BYTES:
        notices.append(f"{utmp} is larger than {_MAX_UTMP_BYTES} bytes: the rest is not read")
    sessions: dict[Address, Session] = {}
    for session in (*parse_utmp(data[:_MAX_UTMP_BYTES]), *_logind_sessions(logind)):
        sessions.setdefault(session.address, session)
    if len(sessions) > MAX_SESSIONS:
        notices.append(f"{len(sessions)} remote addresses are logged in: only the first {MAX_SESSIONS} are protected")
    return [_entry(session) for session in list(sessions.values())[:MAX_SESSIONS]], notices


def parse_utmp(data: bytes, layout: UtmpLayout = NATIVE_UTMP) -> list[Session]:
    """Return the remote logins in force (USER_PROCESS); a last record that is not complete yet is passed over."""
    sessions = []
    for start in range(0, len(data) - layout.record_bytes + 1, layout.record_bytes):
        record = data[start : start + layout.record_bytes]
        if record[:2] != _USER_PROCESS.to_bytes(2, sys.byteorder):
            continue
        raw = record[layout.address_at : layout.address_at + 16]
        address = fold_mapped(raw[:4] if not any(raw[4:]) else raw)  # IPv4 is in the first word alone
        if _is_remote(address):
            sessions.append(Session(address, _word(record[_USER]), _word(record[_LINE])))
    return sessions


def parse_logind_session(text: str) -> Session | None:
    """Return the login of a session file of systemd-logind, None if it is local, ending, or from a host by name."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    if values.get("REMOTE") != "1" or values.get("STATE") == "closing":
        return None
    try:
        address = parse_address(values.get("REMOTE_HOST", "").partition("%")[0])
    except ValueError:
        return None
    if not _is_remote(address):
        return None
    terminal = values.get("TTY") or values.get("SERVICE", "")
    return Session(address, _word(values.get("USER", "").encode()), _word(terminal.encode()))


def _logind_sessions(directory: Path) -> Iterable[Session]:
    """Yield the remote logins that systemd-logind keeps."""
    try:
        names = sorted(os.listdir(directory))[:_MAX_SESSION_FILES]  # noqa: PTH208 - names only
    except OSError:
        return
    for name in names:
        # beside each session are its fifo (`.ref`) and, while it is written, a temporary file
        if "." not in name and (data := read_bounded(directory / name, _MAX_SESSION_BYTES)):
            session = parse_logind_session(data.decode(errors="replace"))
            if session:
                yield session


def _entry(session: Session) -> AllowEntry:
    place = f" on {session.terminal}" if session.terminal else ""
    return AllowEntry(host(session.address), f"administrator's session: {session.user or 'unknown'}{place}")


def _is_remote(address: Address) -> bool:
    """Whether this is neither unspecified nor loopback."""
    if len(address) == 4:
        return address[0] not in (0, 127)
    return any(address[:15]) or address[15] > 1


def _word(raw: bytes) -> str:
    """Return a name for people, up to the first zero byte: printable ASCII only, and bounded."""
    text = raw.split(b"\0", 1)[0][:_MAX_WORD].decode("ascii", errors="replace")
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
