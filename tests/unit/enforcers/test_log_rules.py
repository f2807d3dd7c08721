"""How the firewall logs: judged by how many lines a scan leaves."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.enforcers.netlink import attribute
from monitor.enforcers.nftables.log_rules import LogRule, judge, log_rule


def expression(name: str, *fields: tuple[int, bytes]) -> bytes:
    """Encode an expression as the kernel lists it."""
    data = b"".join(attribute(number, value) for number, value in fields)
    return attribute(1, attribute(1, name.encode() + b"\0") + attribute(2, data, nested=True), nested=True)


def limit(rate: int, unit_s: int, burst: int) -> bytes:
    """Encode a limit of packets."""
    pairs = ((1, struct.pack(">Q", rate)), (2, struct.pack(">Q", unit_s)), (3, struct.pack(">I", burst)))
    return expression("limit", *pairs)


def rule(lines: float, *, is_last: bool = False) -> LogRule:
    """Return a rule that can write so many lines during a scan."""
    return LogRule("filter in", "drop: ", lines, "some limit", is_last)


def test_iptables_log_target_is_understood() -> None:
    """The target LOG of iptables-nft: level and flags, then the prefix; DROP as a target decides."""
    target = expression("target", (1, b"LOG\0"), (2, bytes(4)), (3, b"\x04\0[UFW BLOCK] \0\0\0"))
    found = log_rule(b"filter\0", b"in\0", limit(3, 60, 10) + target, is_accepting=True)
    assert found == LogRule("filter in", "[UFW BLOCK] ", 10.5, "3 per minute, burst 10", is_last=True)
    assert log_rule(b"filter\0", b"in\0", expression("target", (1, b"NFLOG\0")), is_accepting=True) is None


@pytest.mark.parametrize(("lines", "count"), [(10.5, 1), (29.9, 1), (30.0, 0), (float("inf"), 0)])
def test_a_scan_must_leave_enough_lines(lines: float, count: int) -> None:
    """One rule that does is enough, unless it logs what is accepted."""
    assert len(judge([rule(lines)])) == count
    assert judge([rule(lines), rule(1000.0)]) == []
    assert len(judge([rule(lines), rule(1000.0, is_last=True)])) == count + 1


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ENABLED=yes\nLOGLEVEL=low\n", "low"),
        ('# comment\nLOGLEVEL="medium"\nENABLED=yes\n', "medium"),
        ("ENABLED=no\nLOGLEVEL=low\n", ""),
        ("ENABLED=yes\nLOGLEVEL=high\n", ""),
        ("ENABLED=yes\nLOGLEVEL=off\n", ""),
        ("", ""),
        ("ENABLED\n=\0", ""),
    ],
)
def test_ufw_says_it_itself(text: str, level: str) -> None:
    """Where its rules are those of iptables-legacy, which nf_tables does not list."""
    found = judge([], text)
    assert [one.text.rpartition(": ufw")[2] for one in found] == ([f" (`logging {level}`: 3 per minute)"] * bool(level))


@given(st.binary(max_size=200))
def test_any_expressions_are_a_rule_or_none(data: bytes) -> None:
    """What other programs wrote raises nothing."""
    for expressions in (data, b"log\0" + data, attribute(1, b"log\0" + data, nested=True)):
        log_rule(b"t\0", b"c\0", expressions, is_accepting=True)
