"""An entry of the journal as one line of log text, when it was written, and whether it can be believed. Pure."""

import re

from monitor.sources.journal.match import Entry, Value

MIN_LINE_BYTES = 256
"""A line must be able to hold the prefix: host, identifier and process id take at most 145 bytes."""

_MAX_WORD_BYTES = 64
_MAX_PID_DIGITS = 10
_MAX_SKEW_US = 60_000_000
_FIRST_USER_UID = 1000

# Whitespace that some reader takes for the end of a line, and the NUL that some take for the end of a text.
_BREAKS = b"\n\r\v\f\0\x1c\x1d\x1e"
_ONE_LINE = bytes.maketrans(_BREAKS, b" " * len(_BREAKS))
# Printable ASCII without what ends an identifier in a line: blank, brackets, colon.
_WORD = bytes(code if 0x20 < code < 0x7F and code not in b"[]:" else ord("?") for code in range(256))

# Services that run programs of people who logged in, have a crontab, a mailbox or a web space, as those people and,
# where PAM opens no session, in the service's own control group.
_RUNS_OTHERS = re.compile(
    rb"anacron|at|atd|cron|crond|cronie|dcron|fcron"
    rb"|autovt|getty|console-getty|container-getty|serial-getty|ssh|sshd|display-manager|gdm3?|lightdm|sddm|user"
    rb"|inetd|inetutils-inetd|openbsd-inetd|xinetd|vsftpd"
    rb"|courier|dovecot|exim|exim4|postfix|sendmail"
    rb"|apache2|httpd|php.*|uwsgi"
    rb"|containerd|docker|podman"
)


def is_trusted(entry: Entry) -> bool:
    """Whether only the system itself can have written this entry; every doubt makes it untrusted.

    journald lets every user write entries with any text and any identifier. What it adds itself, the fields with a
    leading underscore, says who did:

    - `_TRANSPORT=kernel`: /dev/kmsg, which only the kernel and root write.
    - `_UID` below 1000: a system account. sshd's privileged monitor counts, though it runs in the user's session.
    - `_SYSTEMD_UNIT` is a system service: services may run under dynamic and ordinary accounts. `user@UID.service` is
      no such service: it holds all that a user runs.

    Exceptions, because others write there: containers (`CONTAINER_ID`, `CONTAINER_NAME`: root's engine hands on what
    they print); under a user's id, services that run the programs of users (cron jobs, shells without a session, mail
    delivery, PHP), and what belongs to a login (`_AUDIT_LOGINUID`, which PAM sets and a process cannot take back).
    """
    if entry.get("_TRANSPORT") == b"kernel":
        return True
    if "CONTAINER_ID" in entry or "CONTAINER_NAME" in entry:
        return False
    uid = _number(entry.get("_UID"))
    if uid is not None and uid < _FIRST_USER_UID:
        return True
    return "_AUDIT_LOGINUID" not in entry and _is_service(entry.get("_SYSTEMD_UNIT"))


def _is_service(unit: Value | None) -> bool:
    """Whether this is a system service that runs no programs of others."""
    if not isinstance(unit, bytes) or not unit.endswith(b".service"):
        return False
    return not _RUNS_OTHERS.fullmatch(unit.removesuffix(b".service").partition(b"@")[0])


def format_line(entry: Entry, max_line_bytes: int) -> tuple[bytes, bool] | None:
    """Return the line `HOST IDENTIFIER[PID]: MESSAGE` with its newline, and whether it had to be cut.

    The form is `journalctl -o short` without the date; records of the kernel itself are `HOST kernel: MESSAGE`. None
    where the entry has no text. Whatever the entry holds, it is exactly one line of at most `max_line_bytes` (not below
    MIN_LINE_BYTES), and its prefix has this form: the identifier, which the writer chooses, loses what could end it.
    """
    message = entry.get("MESSAGE")
    if message is None:
        return None
    if isinstance(message, list):
        message = b" ".join(message)
    head = _head(entry)
    room = max_line_bytes - len(head) - 1
    # A cut is detected before blanks are stripped: the kept part may end in an attacker's blanks.
    return head + message[:room].rstrip().translate(_ONE_LINE) + b"\n", len(message) > room


def _head(entry: Entry) -> bytes:
    """Return the prefix up to the blank after the colon."""
    host = _word(entry.get("_HOSTNAME"))
    start = host + b" " if host else b""
    # Root can write to /dev/kmsg too, but not in the name of the kernel's facility.
    if entry.get("_TRANSPORT") == b"kernel" and entry.get("SYSLOG_FACILITY", b"0") == b"0":
        return start + b"kernel: "
    # journalctl's word; without it, text could pose as the identifier
    start += _word(entry.get("SYSLOG_IDENTIFIER")) or _word(entry.get("_COMM")) or b"unknown"
    pid = _pid(entry.get("SYSLOG_PID")) or _pid(entry.get("_PID"))
    return start + b"[" + pid + b"]: " if pid else start + b": "


def _first(value: Value | None) -> bytes:
    if isinstance(value, list):
        return value[0] if value else b""
    return value or b""


def _word(value: Value | None) -> bytes:
    return _first(value)[:_MAX_WORD_BYTES].translate(_WORD)


def _pid(value: Value | None) -> bytes:
    digits = _first(value)
    return digits if len(digits) <= _MAX_PID_DIGITS and digits.isdigit() else b""


def _number(value: Value | None) -> int | None:
    """Return a plain decimal number; None for everything else, and for a field that is there twice."""
    return int(value) if isinstance(value, bytes) and len(value) <= 20 and value.isdigit() else None


def written_s(entry: Entry, received_us: int, *, is_believed: bool) -> float:
    """Return when the entry was written: wall time in seconds.

    `received_us` is when journald received it, in microseconds. Of believed entries the writer's time counts where it
    is at most 60 s away.
    """
    if is_believed:
        source_us = _number(entry.get("_SOURCE_REALTIME_TIMESTAMP"))
        if source_us is not None and abs(source_us - received_us) <= _MAX_SKEW_US:
            return source_us / 1e6
    return received_us / 1e6
