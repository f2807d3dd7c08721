"""Reads the addresses of kernel functions from the lines of /proc/kallsyms (proc(5)). Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

KALLSYMS = Path("/proc/kallsyms")
_CODE = frozenset("tTwW")
"""The symbol types of functions, nm(1)."""


def _symbols(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Yield address, type and name; other lines than the kernel's are skipped."""
    for line in lines:
        words = line.split(maxsplit=3)
        try:
            address, kind, name = int(words[0], 16), words[1], words[2]
        except (IndexError, ValueError):
            continue
        yield address, kind, name


def read_functions(text: str, names: frozenset[str]) -> dict[str, int]:
    """Return the addresses of kernel functions; hidden ones (0) are left out.

    Of more than a hundred thousand lines, only those that contain a name are split.
    """
    lines: list[str] = []
    for name in names:
        at = -1
        while (at := text.find(f" {name}", at + 1)) >= 0:
            end = text.find("\n", at)
            lines.append(text[text.rfind("\n", 0, at) + 1 : end if end >= 0 else len(text)])
    return {name: address for address, _, name in _symbols(lines) if name in names and address}


def name_locations(lines: Iterable[str], addresses: Iterable[int]) -> dict[int, str]:
    """Return `function+0xoffset` for each address; empty if the kernel hides its addresses (kptr_restrict)."""
    functions = sorted((address, name) for address, kind, name in _symbols(lines) if address and kind in _CODE)
    begins = [address for address, _ in functions]
    named = {}
    for address in addresses:
        if (number := bisect_right(begins, address)) > 0:
            begin, name = functions[number - 1]
            named[address] = f"{name}+{address - begin:#x}"
    return named
