"""Packets in lines of a saved kernel log, in the notations in which the kernel's log is saved.

- records of /dev/kmsg as they are read,
- `dmesg`, with or without `--raw`, `--decode`, `--ctime` and `--time-format iso`,
- syslog files and `journalctl -k -o short` (and its relatives): `DATE HOST kernel: MESSAGE`.

What dmesg and /dev/kmsg say is a time since boot. The last line of the file is taken for written when the file was, so
that times of day may be off while intervals are right. What another program wrote is no evidence, as for the daemon.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.filters.dates import DateDetector
from monitor.model.errors import MalformedRecord
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.format import decode_packet, is_packet_line, parse_record
from monitor.sources.kmsg.prefixes import LogPrefixes

UNDATED = "without a date"
FOREIGN = "written by another program than the kernel"
NOT_COUNTED = "of a log prefix that does not count (sources.kernel_log)"
_TAIL_BYTES = 65_536
ZONES_S = 26 * 3600.0
"""How much later than its file a line may say that it was written, in another zone."""
_SINCE_BOOT = "its times are since boot: its last line is taken for written when the file was"
_RECORD = re.compile(rb"\d{1,4},\d{1,20},\d{1,20},[^;]{0,80};").match
_LEVEL = r"(?:<(?P<priority>\d{1,3})>|(?P<facility>[a-z0-9]{1,10}) *:[a-z]{1,10} *: ?)?"
_DMESG = re.compile(_LEVEL + r"\[ *(?P<uptime>\d{1,12}\.\d{1,9})\] (?P<message>.*)", re.DOTALL).match
_DATED_DMESG = re.compile(
    _LEVEL + r"(?P<date>\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\]"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{1,9}[+-]\d\d:\d\d) (?P<message>.*)",
    re.DOTALL,
).match
_SYSLOG = re.compile(r"(?P<date>.{0,160}?) kernel: (?:\[ *\d{1,12}\.\d{1,9}\] ?)?(?P<message>.*)", re.DOTALL).match
_KERNEL_FACILITY = "kern"


class _Read(NamedTuple):
    """A line, apart: a date as text, or a time since boot; whether the kernel wrote it."""

    message: str
    date: str = ""
    uptime_s: float | None = None
    is_kernel: bool = True


class KernelLines:
    """Finds the packets in the lines of one file."""

    def __init__(self, content: Content, prefixes: LogPrefixes, report: FileReport, written_s: float) -> None:
        """Take what counts; `written_s` is when the file was written, in wall time."""
        self._dates = DateDetector()
        self._prefixes = prefixes
        self._report = report
        self._written_s = written_s
        self._content = content
        self._boot_s: float | None = None

    def find(self, line: bytes) -> PacketLogged | None:
        """Return the packet of a line without its newline; None if there is none that counts."""
        read = _take_apart(line)
        if not is_packet_line(read.message):
            return None
        if not read.is_kernel:
            self._report.leave_out(FOREIGN)
            return None
        time_s = self._time_s(read)
        if time_s is None:
            self._report.leave_out(UNDATED)
            return None
        try:
            event = decode_packet(read.message, time_s)
        except MalformedRecord as error:
            self._report.leave_out(f"malformed ({error.cause})")
            return None
        if not self._prefixes.counts(event.prefix):
            self._report.leave_out(NOT_COUNTED)
            return None
        return event

    def _time_s(self, read: _Read) -> float | None:
        if read.uptime_s is not None:
            if self._boot_s is None:
                last_s = _last_uptime_s(self._content)
                self._boot_s = self._written_s - (read.uptime_s if last_s is None else last_s)
                self._report.note(_SINCE_BOOT)
            return self._boot_s + read.uptime_s
        time_s = _exact_s(read.date)
        if time_s is None and (dated := self._dates.find(read.date, self._written_s)) is not None:
            time_s = dated.time_s
        return None if time_s is None or time_s > self._written_s + ZONES_S else time_s


def may_hold_packet(data: bytes) -> bool:
    """Whether some line of a block may be a packet's."""
    return b" OUT=" in data and b"IN=" in data


def has_packets(head: bytes) -> bool:
    """Whether the start of a file has a line that the kernel's packet logger wrote."""
    return may_hold_packet(head) and any(
        is_packet_line(read.message) and read.is_kernel for read in map(_take_apart, head.splitlines())
    )


def _take_apart(line: bytes) -> _Read:
    """Separate time and message; a line of no known notation has neither date nor packet."""
    if _RECORD(line):
        try:
            record = parse_record(line)
        except MalformedRecord:
            return _Read("")
        return _Read(record.message, uptime_s=record.timestamp_us / 1e6, is_kernel=record.facility == 0)
    text = line.decode("ascii", "backslashreplace").rstrip("\r")
    match = _DMESG(text) or _DATED_DMESG(text)
    if match is None:
        match = _SYSLOG(text)
        # a line without a name of the kernel is of another program, or of a logger that keeps only packets
        return _Read(match["message"], match["date"]) if match else _Read(text, is_kernel=False)
    is_kernel = match["facility"] in (None, _KERNEL_FACILITY) and int(match["priority"] or 0) < 8
    if "uptime" in match.groupdict():
        return _Read(match["message"], uptime_s=float(match["uptime"]), is_kernel=is_kernel)
    return _Read(match["message"], match["date"].strip("[]").replace(",", "."), is_kernel=is_kernel)


def _exact_s(date: str) -> float | None:
    """Return the time of a date in ISO 8601 with its zone; filters read such dates to the second only."""
    try:
        when = datetime.fromisoformat(date.partition(" ")[0])
        return when.timestamp() if when.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _last_uptime_s(content: Content) -> float | None:
    """Return the time since boot in the last line of a file that can be read again and is not packed."""
    if content.size_bytes is None or content.is_packed:
        return None
    try:
        with Path(content.path).open("rb") as file:
            file.seek(max(0, content.size_bytes - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).splitlines()
    except OSError:
        return None
    found = (read.uptime_s for read in map(_take_apart, reversed(lines)) if read.uptime_s is not None)
    return next(found, None)
