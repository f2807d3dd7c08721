"""Cursors in log files, and where reading continues after rotations that happened while nothing watched."""

import hashlib
import os
import re
import stat
from typing import Annotated, NamedTuple

import msgspec

MARK_BYTES = 256
"""How many bytes before a cursor are compared, to notice a file that was truncated or whose inode was reused."""
_MAX_ENTRIES = 20_000
_MAX_GENERATIONS = 64
_MAX_LISTINGS = 8
_MAX_SEARCHED_BYTES = 1 << 20

_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z", ".lzma", ".zip")
_DATE = r"\d{4}-?\d{2}-?\d{2}(?:[\dT_-]*\d)?"
_SUFFIX = re.compile(rf"(.+?)(?:\.\d{{1,3}}|[.-]{_DATE})", re.DOTALL)
_INFIX = re.compile(rf"(.+?)[.-]{_DATE}(\.[^.]+)", re.DOTALL)  # logrotate's `extension`


class FileCursor(msgspec.Struct, frozen=True, gc=False):
    """All lines before `offset` bytes of this file were handed out; `mark` is the hash of the bytes just before it."""

    device: int
    inode: int
    offset: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    mark: str = ""
    mark_bytes: Annotated[int, msgspec.Meta(ge=0, le=MARK_BYTES)] = 0


class Part(NamedTuple):
    """A file to read, from an offset on."""

    path: str
    offset: int
    is_copy: bool = False
    """Whether it is a copy that was made before the log was emptied."""
    identity: tuple[int, int] | None = None
    """Device and inode; None: whatever is there."""


class Rotated(NamedTuple):
    """An older generation of a log."""

    path: str
    identity: tuple[int, int]
    """Device and inode."""


def encode_cursor(identity: tuple[int, int], offset: int, before: bytes) -> str:
    """Return the text to save; `identity`: device and inode; `before`: the at most MARK_BYTES before the offset."""
    cursor = FileCursor(*identity, offset, _hash(before), len(before))
    return msgspec.json.encode(cursor).decode("ascii")


def decode_cursor(text: str) -> FileCursor | None:
    """Return the cursor that was saved; None where the text is not one."""
    try:
        cursor = msgspec.json.decode(text, type=FileCursor)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return cursor if cursor.mark_bytes == min(cursor.offset, MARK_BYTES) else None


def open_regular(path: str) -> int:
    """Open a regular file for reading, without waiting for anything; OSError where it is none."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no regular file", path)
    return descriptor


def find_parts(path: str, cursor: FileCursor) -> list[Part] | None:
    """Return the files to read after a cursor, oldest first, the one at `path` last; None: none holds the cursor.

    Rotated by rename: the file is found under another name, by inode and mark, and with it those after it. Emptied
    after a copy was made (copytruncate): the copy is found by its mark.
    """
    is_there, goes_on = _compare(path, cursor)
    if is_there and goes_on:
        return [Part(path, cursor.offset)]
    rotated = rotated_files(path)
    compared = [_compare(generation.path, cursor) for generation in rotated]
    own = next((position for position, (is_same, _) in enumerate(compared) if is_same), None)
    if own is None and not is_there:
        return None
    end = len(rotated) if own is None else own
    first = own
    if own is None or not compared[own][1]:  # emptied; a mark of nothing would be found in every file
        copies = [position for position, (_, goes_on) in enumerate(compared[:end]) if goes_on and cursor.offset]
        first = copies[-1] if copies else None
    if first is None:
        return None
    parts = [
        Part(generation.path, cursor.offset if position == first else 0, position < end, generation.identity)
        for position, generation in enumerate(rotated)
        if position >= first
    ]
    return [*parts, Part(path, 0)]


def find_repeated(path: str, cursor: FileCursor) -> int | None:
    """Return where to continue in a log that was rewritten: behind the last place with what was before the cursor."""
    if cursor.mark_bytes < MARK_BYTES:
        return None
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        begin = max(0, size - _MAX_SEARCHED_BYTES)
        data = os.pread(descriptor, size - begin, begin)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    end = len(data)
    while (end := data.rfind(b"\n", 0, end) + 1) >= MARK_BYTES:
        if _hash(data[end - MARK_BYTES : end]) == cursor.mark:
            return begin + end
        end -= 1
    return None


def rotated_files(path: str) -> list[Rotated]:
    """Return the uncompressed older generations of a log (`NAME.1`, `NAME-20240131`), oldest first."""
    listed = _list_rotated(path)
    for _ in range(_MAX_LISTINGS):  # names that change meanwhile may be listed twice or not at all
        before, listed = listed, _list_rotated(path)
        if listed == before:
            break
    return listed


def _list_rotated(path: str) -> list[Rotated]:
    directory, name = os.path.split(os.path.realpath(path))
    found = []
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MAX_ENTRIES), entries, strict=False):
                if name in base_names(entry.name) and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    generation = Rotated(entry.path, (status.st_dev, status.st_ino))
                    found.append((status.st_mtime_ns, _age(entry.name), generation))
    except OSError:
        pass
    return [generation for _, _, generation in sorted(found)[-_MAX_GENERATIONS:]]


def base_names(name: str) -> tuple[str, ...]:
    """Return the names of which this can be an older generation."""
    suffixed, infixed = _SUFFIX.fullmatch(name), _INFIX.fullmatch(name)
    return ((suffixed[1],) if suffixed else ()) + ((infixed[1] + infixed[2],) if infixed else ())


def is_compressed(name: str) -> bool:
    """Whether this is the name of a compressed file."""
    return name.endswith(_COMPRESSED)


def _age(name: str) -> tuple[int, str]:
    """Order generations of the same time: of two numbers the higher is older, of two dates the earlier."""
    number = name.rpartition(".")[2]
    return (-int(number) if number.isdecimal() and len(number) <= 3 else 0), name


def _compare(path: str, cursor: FileCursor) -> tuple[bool, bool]:
    """Whether the file at this path is the one of the cursor, and whether it still holds what was before the cursor."""
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError):
        return False, False
    try:
        status = os.fstat(descriptor)
        # A device's number changes from boot to boot; the mark then decides
        is_same = status.st_ino == cursor.inode and (status.st_dev == cursor.device or cursor.offset > 0)
        before = os.pread(descriptor, cursor.mark_bytes, cursor.offset - cursor.mark_bytes)
        return is_same, len(before) == cursor.mark_bytes and _hash(before) == cursor.mark
    except OSError:
        return False, False
    finally:
        os.close(descriptor)


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
