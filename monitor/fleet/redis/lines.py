"""What changes look like in the stream and in the hashes. Pure.

A line carries up to a few dozen changes: pairs of a kind with its field, and the record. Its number is its id in the
stream (`NUMBER-0`), so a reader sees a gap in the numbers, whatever became of the server.

Example: `57-0  "bban 192.0.2.7" RECORD  "uban 192.0.2.9" ""`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monitor.fleet.engine import Change, Kind
from monitor.fleet.redis.resp import Reply

RESYNC = b"r"
"""The name of a pair that says: read the whole hash, unless you have read all lines up to this number."""
_KINDS = {kind.value.encode(): kind for kind in Kind}
_WORDS = {kind: word for word, kind in _KINDS.items()}


MARK_BYTES = 64
"""Of a mark is read at most."""
LINE_BYTES = 8 * 1024
"""A line is read as a whole, and a reader takes some dozens at once: they stay below what a reply may have."""


class Line(NamedTuple):
    """One line of a peer's stream."""

    number: int
    changes: list[Change]
    resync: int | None = None
    """Up to which line one must have read to need no snapshot; None: the line asks for none."""


class Mark(NamedTuple):
    """The mark of a node: its last line, and which run of the daemon wrote it."""

    number: int
    token: bytes


def split(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Yield the changes in parts that each fit into a line."""
    part: list[Change] = []
    size = 0
    for change in changes:
        length = len(change.field) + len(change.record)
        if part and size + length > LINE_BYTES:
            yield part
            part, size = [], 0
        part.append(change)
        size += length
    if part:
        yield part


def write_pairs(changes: Sequence[Change]) -> list[bytes]:
    """Return the pairs of a line."""
    return [part for change in changes for part in (_WORDS[change.kind] + change.field, change.record)]


def read_line(entry: Reply) -> Line | None:
    """Read an entry of a stream; None: it is none of ours. What is unknown in it is skipped."""
    match entry:
        case [bytes(id_), [*pairs]]:
            number, _, rest = id_.partition(b"-")
            if not number.isdigit() or rest != b"0":
                return None
        case _:
            return None
    changes, resync = [], None
    for name, value in zip(pairs[::2], pairs[1::2], strict=False):
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            continue
        if name == RESYNC:
            resync = int(value) if value.isdigit() and len(value) < 20 else 0
        elif (kind := _KINDS.get(name[:1])) is not None:
            changes.append(Change(kind, name[1:], value))
    return Line(int(number), changes, resync)


def read_mark(value: Reply) -> Mark | None:
    """Read a mark; None: there is none, or it is none of ours."""
    if not isinstance(value, bytes):
        return None
    number, _, token = value.partition(b" ")
    return Mark(int(number), token) if number.isdigit() and len(number) < 19 and token else None


def read_pairs(kind: Kind, values: Reply) -> list[Change]:
    """Read what a scan of a hash answers."""
    if not isinstance(values, list):
        return []
    pairs = zip(values[::2], values[1::2], strict=False)
    return [Change(kind, f, r) for f, r in pairs if isinstance(f, bytes) and isinstance(r, bytes)]
