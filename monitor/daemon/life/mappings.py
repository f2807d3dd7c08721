"""Unmaps program text that only the start executed (decision 0150).

The pages of an executable and its libraries stay in the page cache, from where the next use maps them again: that is
resident memory which people see, not memory that others lack.

Other threads map and unmap files while the list of mappings is read, and where a file was, there may be data a moment
later. So C has the last word (`native/text.c`): it takes only segments of programs and libraries that are still loaded,
and of these none that is writable when it is loaded. Where there is no extension, all stays.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from monitor import native

_SMAPS = Path("/proc/self/smaps")
_PERMISSIONS = ("r-xp", "r--p", "r--s")
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +/.*\n"  # proc(5): of a file
    r"(?:[A-Z]\w+: .*\n)*?Anonymous: +0 kB\n"
    r"(?:[A-Z]\w+: .*\n)*?Swap: +0 kB\n",
    re.MULTILINE,
)
"""A mapping of a file all of whose pages are those of the file: relocated data and breakpoints are anonymous pages.

They count as such only while they are in memory, so none may be swapped out either.
"""


def clean(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each mapping of a file that cannot be written to and has no page of its own."""
    for mapping in _MAPPING.finditer(smaps):
        if mapping[3] in _PERMISSIONS:
            yield int(mapping[1], 16), int(mapping[2], 16)


def release() -> None:
    """Unmap what can be read again; what cannot be unmapped stays, madvise(2)."""
    if native.extension is None:
        return
    try:
        smaps = _SMAPS.read_text("utf-8", "surrogateescape")
    except OSError:
        return  # a kernel without it, or no descriptor is left
    native.extension.unmap_text(list(clean(smaps)))
