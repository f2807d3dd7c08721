"""Kernel settings on which evidence depends."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.sysctls import Ports, Sysctls
from monitor.node.sysctls import notices, parse_port_range, read_sysctls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"32768\t60999\n", (32_768, 60_999)),
        (b"1024 65535", (1024, 65_535)),
        (b"5000\t5000\n", (5000, 5000)),
        (b"", None),
        (b"60999\t32768\n", None),
        (b"0\t60999\n", None),
        (b"1024\t65536\n", None),
        (b"1024\n", None),
        (b"1024\t2048\t4096\n", None),
        (b"-1\t5\n", None),
    ],
)
def test_the_port_range_is_read(text: bytes, expected: tuple[int, int] | None) -> None:
    """As the kernel writes it; anything else counts as unreadable."""
    assert parse_port_range(text) == expected


@given(st.binary(max_size=80))
def test_any_text_is_a_range_or_none(text: bytes) -> None:
    """Nothing raises."""
    ports = parse_port_range(text)
    assert ports is None or 1 <= ports[0] <= ports[1] <= 65_535


def test_values_are_read_below_the_root(tmp_path: Path) -> None:
    """Missing files: the range is unknown, which is noticed, and connection tracking is not liberal."""
    assert read_sysctls(tmp_path) == Sysctls()
    assert len(notices(Sysctls())) == 1
    for name, text in (("ipv4/ip_local_port_range", "1024\t2000\n"), ("netfilter/nf_conntrack_tcp_be_liberal", "1\n")):
        path = tmp_path / "proc/sys/net" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = read_sysctls(tmp_path)
    assert found == Sysctls(local_ports=(1024, 2000), is_tcp_liberal=True)
    assert notices(found) == []


@given(st.lists(st.tuples(st.integers(1, 65_535), st.integers(1, 65_535)).map(lambda pair: (min(pair), max(pair)))))
def test_ports_are_those_of_the_ranges(ranges: list[tuple[int, int]]) -> None:
    """A port is in the set if one of the ranges contains it."""
    ports = Ports(ranges)
    for port in {1, 65_535, *(edge + by for one in ranges for edge in one for by in (-1, 0, 1))}:
        assert (port in ports) is any(first <= port <= last for first, last in ranges)
