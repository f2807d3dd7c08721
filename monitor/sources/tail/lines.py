"""Splits what was read of a log file into whole lines of bounded length. Pure."""

import re
from typing import NamedTuple

# What a writer without O_APPEND leaves after its file was emptied under its hands: a hole up to where it was
_HOLES = re.compile(rb"(?m)^\0+")


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
        runs.append(Run(cut(data[position : position + max_line_bytes], max_line_bytes), is_cut=True))
        start = position = data.index(b"\n", position) + 1
    if start < position:
        runs.append(Run(data[start:position]))
    return runs


def cut(head: bytes, max_line_bytes: int) -> bytes:
    """Return a line that is too long, of which this is the beginning, at the longest length."""
    return head[: max_line_bytes - 1] + b"\n"
