"""Protocol numbers: right, and in one place."""

import ast
import re
import socket
from pathlib import Path

import monitor
from monitor.model import protocols

_PACKAGE = Path(monitor.__file__).parent
_NAME = re.compile(r"_*(PROTOCOL|TCP|UDP|ICMP|ICMPV6|SCTP|DCCP|STATUS)(_[A-Z0-9]+)*|_*WELL_KNOWN_PORTS")
_NUMBERS = {name: value for name, value in vars(protocols).items() if isinstance(value, int)}


def test_numbers_are_those_of_the_system() -> None:
    """Every protocol that Python's socket module knows from the system's headers has the same number there."""
    found = {name: getattr(socket, name.replace("PROTOCOL_", "IPPROTO_"), None) for name in _NUMBERS}
    known = {name: number for name, number in found.items() if number is not None}
    assert len(known) >= 15
    assert {name: _NUMBERS[name] for name in known} == known


def test_flags_are_in_header_order() -> None:
    """The bits of the TCP header's flags, by their names: FIN is the lowest (RFC 9293, section 3.1)."""
    assert [_NUMBERS[f"TCP_{name}"] for name in protocols.TCP_FLAG_NAMES] == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_no_other_module_numbers_protocols() -> None:
    """Only this module gives a number to the name of a protocol, a flag or a state."""
    found = []
    for path in _PACKAGE.rglob("*.py"):
        if path == Path(protocols.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Dict) and _has_number(node.value):
                names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
                found += [f"{path.relative_to(_PACKAGE)}: {name}" for name in names if _NAME.fullmatch(name)]
    assert found == []


def _has_number(value: ast.expr) -> bool:
    return any(isinstance(node, ast.Constant) and type(node.value) is int for node in ast.walk(value))
