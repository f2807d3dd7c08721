"""Entries of the journal as `journalctl -o export` and `-o json` print them: fields by name, bounded."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import IMPOSSIBLE, LATEST_S, FileReport
from monitor.daemon.replay.foreign.lines import runs_of
from monitor.sources.journal.format import written_s
from monitor.sources.journal.match import Entry, Value

_MAX_LINE_BYTES = 65_536
"""Of a line of JSON, or of a field: the journal keeps no longer text by default (LineMax=48K)."""
_MAX_ENTRY_BYTES = 1 << 20
_MAX_FIELDS = 1024
_TIME = "__REALTIME_TIMESTAMP"
_MAX_DIGITS = 19
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class JournalEntry(NamedTuple):
    """An entry, and when it was written: wall time in seconds."""

    time_s: float
    fields: Entry

    @property
    def is_of_kernel(self) -> bool:
        """Whether the kernel itself wrote it: root can write to /dev/kmsg, too, but not in the kernel's name."""
        return self.fields.get("_TRANSPORT") == b"kernel" and self.fields.get("SYSLOG_FACILITY", b"0") == b"0"


def is_export(head: bytes) -> bool:
    """Whether a file starts as `journalctl -o export` writes."""
    return head.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP="))


def is_json(head: bytes) -> bool:
    """Whether a file starts as `journalctl -o json` writes."""
    first = head.lstrip().partition(b"\n")[0]
    return first.startswith(b"{") and (b'"__REALTIME_TIMESTAMP"' in first or b'"__CURSOR"' in first)


def read_json(content: Content, report: FileReport) -> Iterator[JournalEntry]:
    """Yield the entries of a file with one JSON object on a line."""
    for run in runs_of(content, _MAX_LINE_BYTES):
        for line in run.data.splitlines():
            report.records += 1
            try:
                raw = {} if run.is_cut else _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raw = {}
            fields = {name: value for name, one in raw.items() if (value := _value(one)) is not None}
            yield from _entry(fields, report)


def read_export(content: Content, report: FileReport) -> Iterator[JournalEntry]:
    """Yield the entries of a file in the journal's export format (systemd: JOURNAL_EXPORT_FORMATS)."""
    file = io.BufferedReader(_Raw(content), 1 << 18)
    fields: dict[str, Value] = {}
    size = 0
    while line := file.readline(_MAX_LINE_BYTES):
        if line == b"\n":
            if fields:
                report.records += 1
                yield from _entry(fields, report)
            fields, size = {}, 0
            continue
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not line.endswith(b"\n"):
            _skip_line(file)
            continue
        if not equals:
            binary = _binary(file)
            if binary is None:
                report.note("it ends in the middle of an entry, or is damaged there: what came before counts")
                return
            value = binary
        size += len(line) + len(value)
        if len(fields) < _MAX_FIELDS and size <= _MAX_ENTRY_BYTES:
            _add(fields, name.decode(errors="replace"), value)
    if fields:
        report.note("it ends in the middle of an entry: what came before counts")


def _entry(fields: dict[str, Value], report: FileReport) -> Iterator[JournalEntry]:
    """Yield the entry if it has a time."""
    text = fields.get(_TIME)
    if not (isinstance(text, bytes) and text.isdigit() and len(text) <= _MAX_DIGITS):
        report.leave_out("malformed")
        return
    time_s = written_s(fields, int(text), is_believed=True)
    if 0.0 <= time_s <= LATEST_S:
        yield JournalEntry(time_s, fields)
    else:
        report.leave_out(IMPOSSIBLE)


def _add(fields: dict[str, Value], name: str, value: bytes) -> None:
    known = fields.get(name)
    if known is None:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def _binary(file: io.BufferedIOBase) -> bytes | None:
    """Return the value of a field that is written with its length, empty if it is too long; None at the end."""
    head = file.read(8)
    if len(head) < 8:
        return None
    left = length = int.from_bytes(head, "little")
    value = b""
    while left > 0:
        part = file.read(min(left, _MAX_LINE_BYTES))
        if not part:
            return None
        left -= len(part)
        value = part if length <= _MAX_LINE_BYTES else b""
    return value if file.read(1) == b"\n" else None


def _skip_line(file: io.BufferedIOBase) -> None:
    while (part := file.readline(_MAX_LINE_BYTES)) and not part.endswith(b"\n"):
        pass


def _value(one: Any) -> Value | None:
    """Return what JSON has of a field: text, bytes as numbers, or a list of several."""
    if isinstance(one, str):
        return one.encode(errors="replace")
    if not isinstance(one, list) or not one:
        return None
    if all(isinstance(item, int) and 0 <= item <= 0xFF for item in one):
        return bytes(one)
    several = [item.encode(errors="replace") for item in one if isinstance(item, str)]
    return several or None


class _Raw(io.RawIOBase):
    """Content as a raw stream."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._content.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
