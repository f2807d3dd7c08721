"""Unmaps program text that only the start executed (decision 0151).

The pages of an executable and its libraries stay in the page cache, from where the next use maps them again: that is
resident memory which people see, not memory that others lack.

Other threads map and unmap files while the list of mappings is read, and where a file was, there may be data a moment
later. So C has the last word (`native/text.c`): it takes only segments of programs and libraries that are still loaded,
and of these none that is writable when it is loaded. Where there is no extension, all stays. Files of the journal are
mapped and unmapped by the thread that calls `release`, and by no other.
"""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

from monitor import native

_SMAPS = Path("/proc/self/smaps")
_SHARED = "r--s"
_PERMISSIONS = ("r-xp", "r--p", _SHARED)
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/.*)\n"  # proc(5): of a file
    r"(?:[A-Z]\w+: .*\n)*?Anonymous: +0 kB\n"
    r"(?:[A-Z]\w+: .*\n)*?Swap: +0 kB\n",
    re.MULTILINE,
)
"""A mapping of a file all of whose pages are those of the file: relocated data and breakpoints are anonymous pages.

They count as such only while they are in memory, so none may be swapped out either.
"""


_MADV_DONTNEED = 4  # madvise(2)


def clean(smaps: str) -> Iterator[tuple[int, int, bool]]:
    """Yield each mapping of a file that cannot be written to and has no page of its own.

    Start, end, and whether the file is one of the journal, which is shared with its writer.
    """
    for mapping in _MAPPING.finditer(smaps):
        if mapping[3] in _PERMISSIONS:
            is_journal = mapping[3] == _SHARED and mapping[4].endswith(".journal")
            yield int(mapping[1], 16), int(mapping[2], 16), is_journal


def release() -> None:
    """Unmap what can be read again; what cannot be unmapped stays, madvise(2)."""
    if native.extension is None:
        return
    try:
        smaps = _SMAPS.read_text("utf-8", "surrogateescape")
    except OSError:
        return  # a kernel without it, or no descriptor is left
    found = list(clean(smaps))
    native.extension.unmap_text([(start, end) for start, end, _ in found])
    if madvise := getattr(ctypes.CDLL(None), "madvise", None):
        for start, end, is_journal in found:
            if is_journal:
                madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
