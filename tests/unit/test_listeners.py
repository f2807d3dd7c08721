"""Listening sockets, as sock_diag(7) and /proc/net/tcp have them."""

import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest

from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS
from monitor.node import listeners, sock_diag
from monitor.node.listeners import ListenerReader, parse_answer, parse_listeners, read_listeners, read_tables
from monitor.node.sock_diag import LISTENING, RepeatedDump, dump_sockets, question

_UNKNOWN_PROTOCOL = 253  # RFC 3692: for experiments
_UNKNOWN_QUESTION = 99

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
    assert read_tables([tmp_path / "tcp6"]) == frozenset()


@pytest.mark.parametrize("is_old_kernel", [True, False])
def test_both_ways_see_the_same_sockets(monkeypatch: pytest.MonkeyPatch, *, is_old_kernel: bool) -> None:
    """Both families, more sockets than one datagram holds, and not a connection; asked at once or one by one."""
    if not is_old_kernel:
        monkeypatch.setattr(sock_diag, "_TCPDIAG_GETSOCK", _UNKNOWN_QUESTION)
    with ExitStack() as stack:
        expected = set()
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::", socket.AF_INET6)):
            for _ in range(120):
                opened = stack.enter_context(socket.socket(family))
                opened.bind((host, 0))
                opened.listen()
                address = ANY_ADDRESS if host == "::" else parse_address(host)
                expected.add((address, PROTOCOL_TCP, opened.getsockname()[1]))
        client = stack.enter_context(socket.create_connection(("::1", opened.getsockname()[1])))
        connected = parse_address("::1"), PROTOCOL_TCP, client.getsockname()[1]
        reader = ListenerReader()
        stack.callback(reader.close)
        asked, read = reader.ask(), read_tables()
        assert reader._is_by_family is not is_old_kernel
        assert reader.ask() == asked
    assert expected <= asked
    assert expected <= read
    assert connected not in asked


@pytest.mark.parametrize("message", [b"", bytes(23), bytes(72), b"\x01" * 72])
def test_answers_that_are_none_are_refused(message: bytes) -> None:
    """Cut short, or of another family."""
    with pytest.raises(MalformedRecord, match="socket"):
        parse_answer(message)


@pytest.mark.parametrize("error", [PermissionError(), MalformedRecord("netlink")])
def test_without_an_answer_the_tables_are_read(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A sandbox may refuse sock_diag; listeners are known all the same."""

    def refuse(_: ListenerReader) -> None:
        raise error

    monkeypatch.setattr(ListenerReader, "ask", refuse)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        assert (parse_address("127.0.0.1"), PROTOCOL_TCP, opened.getsockname()[1]) in read_listeners()


def test_a_kernel_that_cannot_answer_is_no_machine_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without tcp_diag ends its answer with an error, and listeners are known all the same."""
    with pytest.raises(OSError, match="No such file"):
        list(dump_sockets(socket.AF_INET, _UNKNOWN_PROTOCOL, LISTENING))
    monkeypatch.setattr(sock_diag, "_TCPDIAG_GETSOCK", _UNKNOWN_QUESTION)
    monkeypatch.setattr(listeners, "PROTOCOL_TCP", _UNKNOWN_PROTOCOL)
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        ports = {port for _, _, port in read_listeners()}
        assert opened.getsockname()[1] in ports


def test_a_reader_follows_what_listens() -> None:
    """Over one socket a family: what is the same is the same object, and each change is seen, more than a datagram."""
    reader = ListenerReader()
    with ExitStack() as stack:
        stack.callback(reader.close)
        before = reader.ask()
        assert reader.ask() is before
        ports = set()
        for _ in range(300):
            opened = stack.enter_context(socket.socket())
            opened.bind(("127.0.0.1", 0))
            opened.listen()
            ports.add(opened.getsockname()[1])
        more = reader.ask()
        assert {port for _, _, port in more} >= ports
        assert reader.ask() == more
        gone = parse_address("127.0.0.1"), PROTOCOL_TCP, opened.getsockname()[1]
        opened.close()
        assert gone in more
        assert gone not in reader.ask()


def test_an_answer_that_is_too_long_is_not_read_to_its_end() -> None:
    """The next question is asked over another socket, so that it does not get the rest of this answer."""
    with ExitStack() as stack:
        for _ in range(300):
            opened = stack.enter_context(socket.socket())
            opened.bind(("127.0.0.1", 0))
            opened.listen()
        dump = RepeatedDump(question(socket.AF_INET, PROTOCOL_TCP, LISTENING), 1)
        stack.callback(dump.close)
        for _ in range(2):
            messages = dump.read()
            assert messages
            assert 1 <= len(messages) < 300


def test_a_question_that_fails_is_asked_over_another_socket() -> None:
    """Nothing of what was known is left: a reader that falls back takes no old answer for the present one."""
    dump = RepeatedDump(question(socket.AF_INET, PROTOCOL_TCP, LISTENING), 4096)
    assert dump.read() is not None
    assert dump.read() is None
    assert dump._opened
    dump._opened.close()
    with pytest.raises(OSError, match="Bad file"):
        dump.read()
    assert dump.read() is not None
    dump.close()


def test_only_the_kernel_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datagrams of other processes and messages for other questions are skipped; an answer without end is an error."""
    header = struct.Struct("=IHHII")
    own = header.pack(20, 20, 0, 1, 0) + b"sock"
    other, end = header.pack(20, 20, 0, 9, 0) + b"late", header.pack(20, 3, 0, 1, 0) + bytes(4)

    class Answering(socket.socket):
        answers: ClassVar[list[tuple[bytes, tuple[int, int]]]] = []

        def send(self, data: object, flags: int = 0) -> int:
            return 0

        def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, tuple[int, int]]:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    monkeypatch.setattr(socket, "socket", Answering)
    Answering.answers = [(own, (7, 0)), (other + own, (0, 0)), (end, (0, 0))]
    assert list(dump_sockets(socket.AF_INET, PROTOCOL_TCP, LISTENING)) == [b"sock"]
    Answering.answers = [(own, (7, 0))]
    with pytest.raises(OSError, match="does not end"):
        list(dump_sockets(socket.AF_INET, PROTOCOL_TCP, LISTENING))
    Answering.answers = [(own[:18], (0, 0))]
    with pytest.raises(MalformedRecord, match="netlink"):
        list(dump_sockets(socket.AF_INET, PROTOCOL_TCP, LISTENING))
