"""An entry of the journal as one line of log text, when it was written, and who wrote it. Pure."""

import re

from monitor.model.writers import JournalWriter
from monitor.sources.journal.match import Entry, Value

MIN_LINE_BYTES = 256
"""A line must be able to hold the prefix: host, identifier and process id take at most 145 bytes."""

_MAX_WORD_BYTES = 64
_MAX_PID_DIGITS = 10
_MAX_SKEW_US = 60_000_000

# Whitespace that some reader takes for the end of a line, and the NUL that some take for the end of a text.
_BREAKS = b"\n\r\v\f\0\x1c\x1d\x1e"
_ONE_LINE = bytes.maketrans(_BREAKS, b" " * len(_BREAKS))
# Printable ASCII without what ends an identifier in a line: blank, brackets, colon.
_WORD = bytes(code if 0x20 < code < 0x7F and code not in b"[]:" else ord("?") for code in range(256))

_MAX_PATH_BYTES = 512
"""Longer names of units and executables are not known ones, and cost memory."""

# Where engines put containers: by systemd's names of scopes and slices, or below directories of their own.
_CONTAINER = re.compile(
    rb"(?:^|/)(?:kubepods|docker|libpod|lxc|nspawn|garden|buildkit|machine\.slice|system-nspawn)(?:[./-]|$)"
    rb"|(?:^|/|:)(?:docker|cri-containerd|crio|containerd|libpod|nerdctl|lxc|incus|machine|buildkit)[-.:@][^/]*\.scope"
)


def journal_writer(entry: Entry, machine_id: bytes) -> JournalWriter:
    """Return who wrote an entry, by the fields with a leading underscore, which only journald sets.

    A field that is missing, is there twice, or is malformed is not known. `machine_id` is that of this machine.
    """
    unit = _text(entry.get("_SYSTEMD_UNIT"))
    control_group = entry.get("_SYSTEMD_CGROUP", b"")
    name, at, instance = unit.partition("@")
    if at:
        unit = f"{name}@{instance[instance.rfind('.') :]}" if "." in instance else ""
    return JournalWriter(
        transport=_text(entry.get("_TRANSPORT")),
        unit=unit,
        executable=_text(entry.get("_EXE")),
        uid=_number(entry.get("_UID")),
        is_contained="CONTAINER_ID" in entry
        or "CONTAINER_NAME" in entry
        or not isinstance(control_group, bytes)
        or _CONTAINER.search(control_group) is not None
        or _CONTAINER.search(_first(entry.get("_SYSTEMD_UNIT"))) is not None,
        has_login="_AUDIT_LOGINUID" in entry,
        is_local=bool(machine_id) and entry.get("_MACHINE_ID") == machine_id,
    )


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


def _text(value: Value | None) -> str:
    """Return printable ASCII of reasonable length; empty for everything else, and for a field that is there twice."""
    if not isinstance(value, bytes) or len(value) > _MAX_PATH_BYTES or not value.isascii():
        return ""
    text = value.decode()
    return text if text.isprintable() else ""


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
