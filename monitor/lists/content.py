"""From the bytes of a source to its lines, bounded at every step. Pure: takes and yields chunks.

A bomb of gzip, a line without end and a list without end are each a ListFault before they cost memory.
"""

import zlib
from collections.abc import Iterable, Iterator

from monitor.lists.faults import ListCause, ListFault

MAX_PLAIN_BYTES = 256 << 20
MAX_LINES = 4_000_000
MAX_LINE_BYTES = 4096
"""Longer lines are cut: they are no networks."""
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 16
_BOM = "\xef\xbb\xbf"


def plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content in chunks, unpacked if it is gzip by its first bytes; several members count as one."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= len(_GZIP):
            break
    if not head.startswith(_GZIP):
        yield head
        yield from rest
        return
    yield from _unpacked(head, rest)


def _unpacked(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    pending: bytes | None = head
    try:
        while pending is not None:
            while pending:
                if unpacker.eof:
                    if not pending.startswith(_GZIP[: len(pending)]):
                        return  # padding behind the last member
                    unpacker = zlib.decompressobj(wbits=31)
                yield unpacker.decompress(pending, _CHUNK_BYTES)
                pending = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            pending = next(rest, None)
    except zlib.error as error:
        raise ListFault(ListCause.CONTENT, f"its gzip is damaged: {error}") from None
    if not unpacker.eof:
        raise ListFault(ListCause.TRUNCATED, "its gzip ends early")


def lines(chunks: Iterable[bytes], *, is_complete: bool = True) -> Iterator[str]:
    """Yield the lines of plain content, one character for each byte; ListFault if it is HTML, too long or no text.

    Unless it is known to be complete, a last line without line end may be cut (`192.0.2.1` of `192.0.2.17`), and is
    not yielded.
    """
    size = count = 0
    carried = ""
    is_first = True
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_PLAIN_BYTES:
            raise ListFault(ListCause.TOO_LARGE, f"it has more than {MAX_PLAIN_BYTES >> 20} MiB")
        text = (carried + chunk.decode("latin-1")).replace("\r\n", "\n")
        if is_first and len(text.lstrip()) < len(_BOM) and len(text) < MAX_LINE_BYTES:
            carried = text  # too short to tell what it is
            continue
        if is_first:
            text = text.removeprefix(_BOM)
            _check_start(text)
            is_first = False
        *whole, carried = text.split("\n")
        carried = carried[: MAX_LINE_BYTES + 1]
        count += len(whole)
        if count > MAX_LINES:
            raise ListFault(ListCause.TOO_LARGE, f"it has more than {MAX_LINES} lines")
        for line in whole:
            yield line[:MAX_LINE_BYTES]
    if is_first:
        _check_start(carried)
    if carried and is_complete:
        yield carried.removeprefix(_BOM)[:MAX_LINE_BYTES]


def _check_start(text: str) -> None:
    start = text.lstrip()[:64]
    if start.startswith("<"):
        raise ListFault(ListCause.CONTENT, "it is HTML or XML, not a list: a login or error page?")
    if "\0" in start:
        raise ListFault(ListCause.CONTENT, "it is not text")
