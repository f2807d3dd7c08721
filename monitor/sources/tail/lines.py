"""Splits what was read of a log file into whole lines of bounded length. Pure."""

import re
from typing import NamedTuple

# What a writer without O_APPEND leaves after its file was emptied under its hands: a hole up to where it was
_HOLES = re.compile(rb"(?m)^\0+")
END_BYTES = 1024
"""How much of the end of a line `cut` looks at."""
_RECORD = b'{"log":"'
_RECORD_END = re.compile(
    rb'(?P<newline>(?<!\\)\\+n)?(?P<rest>","stream":"\w{1,16}"(?:,"attrs":\{[^{}]{0,800}\})?,"time":"[^"\\]{1,40}"\})$'
)
_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*(?P<open>\\(?:u[0-9A-Fa-f]{0,3})?)$").search


class Run(NamedTuple):
    """Whole lines, each ended by one newline."""

    data: bytes
    is_cut: bool = False
    """It is one line, and its end is missing: what an attacker sent may have pushed the true end out of it."""


def split_lines(data: bytes, max_line_bytes: int) -> list[Run]:
    """Split whole lines into runs, of which those with longer lines (newline counted) are single lines, cut.

    Works in steps of the longest line, not of lines: each step looks for the last newline within reach.
    """
    if b"\0" in data:
        data = _HOLES.sub(b"", data)
    runs = []
    start = position = 0
    while position < len(data):
        newline = data.rfind(b"\n", position, position + max_line_bytes)
        if newline >= 0:
            position = newline + 1
            continue
        if start < position:
            runs.append(Run(data[start:position]))
        end = data.index(b"\n", position)
        head = data[position : position + max_line_bytes]
        runs.append(Run(cut(head, max_line_bytes, data[max(position, end - END_BYTES) : end]), is_cut=True))
        start = position = end + 1
    if start < position:
        runs.append(Run(data[start:position]))
    return runs


def cut(head: bytes, max_line_bytes: int, end: bytes = b"") -> bytes:
    """Return a line that is too long, of which this is the beginning, at the longest length.

    `end` is the end of it, without its newline. A record of docker keeps that: it says when and whether its line ended.
    Characters that JSON escapes make six bytes of one, and what follows half a line must not pass for a line.
    """
    if head.startswith(_RECORD) and (found := _RECORD_END.search(end)) and len(found[0]) < max_line_bytes // 2:
        # backslashes that start before what is known of the end may be an even number of them
        is_ended = bool(found["newline"]) and found.start() > 0 and found["newline"].count(b"\\") % 2 == 1
        head = head[: max_line_bytes - 3 - len(found["rest"])].decode(errors="ignore").encode()
        escape = _ESCAPE(head)
        head = head[: escape.start("open")] if escape else head
        return head + b"\\n" * is_ended + found["rest"] + b"\n"
    return head[: max_line_bytes - 1] + b"\n"
