"""Takes records of container runtimes apart, in one place for all filters: CRI (containerd, CRI-O), docker's json-file.

A runtime writes one record for each line that a container prints: `TIME STREAM TAGS LINE` or a JSON object. The time is
when the line was printed; the rest is the line of the application. A long line comes in parts, which are joined up to a
bound.

What containers print is theirs: such lines prove nothing, whoever wrote them and whatever is in them. A record inside a
record is text of the application, and is not taken apart. Whether a log has records is decided for each block by its
first line: other logs cost one comparison a block.
"""

import datetime
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import msgspec

from monitor.model.logs import CUT, LogBlock
from monitor.model.writers import FileWriter

CONTAINED = "a container wrote it"
_MAX_LINE_BYTES = 8192
"""Of a line that comes in parts; the rest of a longer one is dropped."""
_MAX_PENDING = 1024
_STARTS = frozenset(b"{0123456789")
_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_CRI = re.compile(rb"(%s) (stdout|stderr) ([FP])(?::[^ \n]*)?(?: ([^\n]*))?\n" % _TIME)
_CRI_START = re.compile(rb"%s (?:stdout|stderr) [FP][: \n]" % _TIME).match
_DOCKER_START = re.compile(rb'\{"log":"').match
_BREAKS = bytes.maketrans(b"\n\r\0", b"   ")
_STREAMS = (b"stdout", b"stderr")
_MOMENT = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)")
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NO_TIME = b"-"
_UNKNOWN_S = float("nan")


class _DockerRecord(msgspec.Struct):
    """https://docs.docker.com/engine/logging/drivers/json-file/."""

    log: str
    time: str
    stream: str = "stdout"


_decode = msgspec.json.Decoder(_DockerRecord).decode


class _Line(NamedTuple):
    """What a runtime printed: part of a line, or its last part."""

    text: bytes
    """Without its newline."""
    time: bytes
    """Empty: not known."""
    stream: bytes = b""
    is_last: bool = True


class _Part(NamedTuple):
    text: bytes
    time: bytes
    is_cut: bool = False
    """Whether its end is missing."""


class Times(Sequence[float]):
    """The times of lines, in seconds since the epoch, read when asked for: most lines are no candidates."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        """Take RFC 3339; an empty text is an unknown time, NaN."""
        self._texts = texts

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        """Return the time of a line."""
        return Times(self._texts[index]) if isinstance(index, slice) else _read_time(self._texts[index])


class Containers:
    """Remembers parts of lines whose end has not come: at most 1,024 of them, the oldest go first."""

    def __init__(self) -> None:
        """Start without any."""
        self._pending: OrderedDict[tuple[str, bytes], _Part] = OrderedDict()

    def open(self, block: LogBlock) -> LogBlock:
        """Return a block with the lines of the application in place of records; one without records as it is."""
        data = block.data
        if not data or data[0] not in _STARTS or block.times_s:
            return block
        if _CRI_START(data):
            return self._of_cri(block)
        if _DOCKER_START(data):
            return self._made(block, self._joined(block, _docker_lines(data, is_cut=block.is_cut)))
        return block

    def _of_cri(self, block: LogBlock) -> LogBlock:
        """Read CRI's records: all at once where each is a whole line, as most are."""
        data = block.data
        records = _CRI.findall(data)
        is_whole = len(records) == data.count(b"\n") and not any(tag == b"P" for _, _, tag, _ in records)
        if is_whole and not self._pending:
            return self._made(block, [_Part(text, time) for time, _, _, text in records])
        return self._made(block, self._joined(block, _cri_lines(data)))

    def _joined(self, block: LogBlock, lines: Iterable[_Line]) -> Iterator[_Part]:
        """Join parts; the time of a line is that of its first part."""
        for line in lines:
            key = (block.log, line.stream)
            before = self._pending.pop(key, None) if line.time else None
            part = _Part(line.text, line.time, block.is_cut)
            if before:  # nothing is joined to a part whose own end is missing
                text = before.text if before.is_cut else before.text + line.text
                part = _Part(text, before.time, before.is_cut or block.is_cut)
            if len(part.text) > _MAX_LINE_BYTES:
                part = _Part(part.text[:_MAX_LINE_BYTES], part.time, is_cut=True)
            if line.is_last:
                yield part
                continue
            self._pending[key] = part
            if len(self._pending) > _MAX_PENDING:
                self._pending.popitem(last=False)

    @staticmethod
    def _made(block: LogBlock, parts: Iterable[_Part]) -> LogBlock:
        texts, times = [], []
        for part in parts:
            texts.append(part.text + CUT if part.is_cut else part.text)
            times.append(part.time)
        writer = block.writer if isinstance(block.writer, FileWriter) else FileWriter(block.log)
        return msgspec.structs.replace(
            block,
            data=b"\n".join([*texts, b""]) if texts else b"",
            times_s=Times(times),
            is_wrapped=True,
            writer=msgspec.structs.replace(writer, fault=writer.fault or CONTAINED),
        )


def _cri_lines(data: bytes) -> Iterator[_Line]:
    for line in data.splitlines(keepends=True) if b"\r" not in data else re.findall(rb"[^\n]*\n", data):
        record = _CRI.fullmatch(line)
        if record is None:  # not from the runtime: a line like that of any other log
            yield _Line(line[:-1], b"")
        else:
            yield _Line(record[4] or b"", record[1], record[2], record[3] == b"F")


def _docker_lines(data: bytes, *, is_cut: bool) -> Iterator[_Line]:
    """Yield what records hold. One that is cut beyond repair may be half a line: what follows it is no line either."""
    for line in data.split(b"\n")[:-1]:
        try:
            record = _decode(line)
        except (msgspec.MsgspecError, UnicodeError):
            if is_cut:
                yield from (_Line(b"", _NO_TIME, stream, is_last=False) for stream in _STREAMS)
            else:
                yield _Line(line, b"")
            continue
        text = record.log.encode(errors="replace")
        is_last = text.endswith(b"\n")
        yield _Line(text.rstrip(b"\r\n").translate(_BREAKS), record.time.encode(), record.stream.encode()[:16], is_last)


def _whole_s(text: bytes) -> int:
    """Read date and time as UTC; ValueError for what is none. Seconds may be leap seconds, as in `time.strptime`."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = map(int, match.groups())
    if hour > 23 or minute > 59 or second > 61:
        raise ValueError(text)
    days = datetime.date(year, month, day).toordinal() - _EPOCH
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def _read_time(text: bytes) -> float:
    """Read a time of RFC 3339; NaN for what is none.

    `time.strptime` loads modules when it is called first. Where no descriptor is left, that would lose the record.
    """
    try:
        whole_s = _whole_s(text[:19])
        rest = text[19:].decode("ascii")
        fraction = re.match(r"\.\d+", rest)
        zone = rest[fraction.end() if fraction else 0 :]
        offset_s = 0 if zone in ("Z", "") else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
        return whole_s - offset_s + (float(fraction[0]) if fraction else 0.0)
    except (ValueError, IndexError, OverflowError):
        return _UNKNOWN_S
