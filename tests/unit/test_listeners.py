"""Listening sockets, as /proc/net/tcp has them."""

import socket
from pathlib import Path

import pytest

from monitor.model.addresses import parse_address
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS
from monitor.node.listeners import parse_listeners, read_listeners

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, state: str = "0A") -> str:
    """Return a line of the table."""
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1\n"


@pytest.mark.parametrize(
    ("host", "family", "expected"),
    [
        ("127.0.0.1", socket.AF_INET, parse_address("127.0.0.1")),
        ("0.0.0.0", socket.AF_INET, ANY_ADDRESS),
        ("::1", socket.AF_INET6, parse_address("::1")),
        ("::", socket.AF_INET6, ANY_ADDRESS),
    ],
)
def test_sockets_of_this_machine_are_found(host: str, family: socket.AddressFamily, expected: bytes) -> None:
    """While they listen, and no longer."""
    with socket.socket(family) as opened:
        opened.bind((host, 0))
        port = opened.getsockname()[1]
        assert (expected, PROTOCOL_TCP, port) not in read_listeners()
        opened.listen()
        assert (expected, PROTOCOL_TCP, port) in read_listeners()
    assert (expected, PROTOCOL_TCP, port) not in read_listeners()


def test_the_first_connection_ends_them() -> None:
    """The kernel lists listeners first; what follows is not read."""
    table = [HEADER, line("00000000:0016"), line("00000000:1F90", "01"), line("00000000:0050")]
    if socket.htonl(1) != 1:
        assert list(parse_listeners(table)) == [(ANY_ADDRESS, PROTOCOL_TCP, 22)]


@pytest.mark.parametrize("text", ["", "x", "0: zz:0016 0:0 0A", "0: 000000:0016 0:0 0A", "0: 00000000:zz 0:0 0A"])
def test_other_lines_end_them(text: str) -> None:
    """Nothing is raised."""
    assert list(parse_listeners([HEADER, text, line("00000000:0016")])) == []


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    """A kernel without IPv6."""
    assert read_listeners([tmp_path / "tcp6"]) == frozenset()
