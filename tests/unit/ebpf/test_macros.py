"""Numbers that C and Python share are declared in Python alone, and all that is declared is used."""

import re

import pytest

from monitor.ebpf import drop_locations, xdp
from monitor.ebpf.headers import source_directory
from monitor.ebpf.macros import numbered, protocol_macros
from monitor.ebpf.reasons import arrange
from monitor.ebpf.tracepoint_format import DropFormat
from monitor.sources.drops import classic, reader
from monitor.sources.drops.settings import DropCounting, DropsSettings

SOURCES = sorted(source_directory().glob("*.[ch]"), key=lambda path: path.name)
REQUESTS = (
    reader.program_request(1, DropCounting(DropsSettings())),
    classic.program_request(DropFormat(8, 16, arrange({2: "NOT_SPECIFIED"}, {}))),
    drop_locations.program_request(),
    xdp.program_request(max_bans=9, max_prefixes=9),
)
_DEFINED = re.compile(r"^\s*#\s*define\s+(\w+)[ \t]+((?:.*\\\n)*.*)$", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INCLUDED = re.compile(r'#include "(\w+\.h)"')


def code(name: str) -> str:
    """Return a source without its comments, and with our own headers."""
    text = _COMMENT.sub("", (source_directory() / name).read_text())
    return text + "".join(code(header) for header in _INCLUDED.findall(text))


@pytest.mark.parametrize("name", [path.name for path in SOURCES])
def test_c_numbers_nothing_itself(name: str) -> None:
    """No enum, and no macro that is a number: only macros of macros, and such as take arguments."""
    text = _COMMENT.sub("", (source_directory() / name).read_text())
    assert not re.search(r"\benum\b", text)
    assert [found[0] for found in _DEFINED.findall(text) if re.search(r"(?<!\w)\d", found[1])] == []


def test_the_search_finds_numbers() -> None:
    """What the test above looks for, it would find: a number, one in an expression, one on a further line."""
    text = "#define A 4\n# define B (A + 0x10)\n#define C(x) ((x) + 1)\n#define D A *X4\n#define E A \\\n\t+ 1u\n"
    assert [found[0] for found in _DEFINED.findall(text) if re.search(r"(?<!\w)\d", found[1])] == ["A", "B", "E"]


def test_all_that_is_declared_is_used() -> None:
    """Each macro and each constant is in a program that gets it."""
    pairs = [(request, request.macros.keys() | request.constants.keys()) for request in REQUESTS]
    declared = {name for _, names in pairs for name in names}
    used = {word for request, names in pairs for word in re.findall(r"\w+", code(request.source)) if word in names}
    assert declared - used == set()


def test_names_are_numbered_in_their_order() -> None:
    """As a C enum would be, with how many there are."""
    assert numbered("SET", ("ban4", "ban6"), count="SETS") == {"SET_BAN4": 0, "SET_BAN6": 1, "SETS": 2}


def test_protocols_keep_their_names() -> None:
    """A program writes a protocol as Python does."""
    assert protocol_macros("PROTOCOL_TCP", "TCP_SYN") == {"PROTOCOL_TCP": 6, "TCP_SYN": 2}


def test_seeds_differ() -> None:
    """No two programs share one, and only programs with a sketch have one."""
    seeds = [request.constants["SEED"] for request in REQUESTS if "SEED" in request.constants]
    assert len(seeds) == len(set(seeds)) == 2
