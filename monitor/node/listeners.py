"""Reads which TCP ports of this node have a listening socket.

This is done each second, so it asks sock_diag(7), for this state only: the kernel walks its table of listening sockets
and no other. Where it does not answer, /proc/net/tcp is read (proc_net_tcp.rst in the kernel tree). The kernel lists
listening sockets first there, so reading stops at the first connection; but to fill the reader's buffer it walks the
table of all connections, which is as large as memory suggests and nearly empty on a quiet node: 3 ms a file, and there
are two.
"""

import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from monitor.model.addresses import Address, fold_mapped
from monitor.model.errors import MalformedRecord
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS, Service
from monitor.node.sock_diag import LISTENING, RepeatedDump, question, question_of_tcp

TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTEN = "0A"
_MAX_LISTENERS = 4096
_WORD_DIGITS = 8
_ANSWER = struct.Struct("=B3x2s2x16s")
"""The start of struct inet_diag_msg (linux/inet_diag.h): family, port in network byte order, address."""
_BYTES = {socket.AF_INET: 4, socket.AF_INET6: 16}


class ListenerReader:
    """Reads the listening sockets of the network namespace in which it read first, again and again."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._by_dump: dict[RepeatedDump, frozenset[Service]] = {
            RepeatedDump(question_of_tcp(LISTENING), _MAX_LISTENERS * len(_BYTES)): frozenset()
        }
        self._is_by_family = False
        self._found: frozenset[Service] = frozenset()

    def read(self) -> frozenset[Service]:
        """Return the listening sockets, at most 8,192; empty where none can be read."""
        try:
            return self.ask()
        except (OSError, MalformedRecord):  # without inet_diag, or in a sandbox that refuses this protocol of netlink
            return read_tables()

    def ask(self) -> frozenset[Service]:
        """Ask sock_diag(7); OSError if the kernel does not answer, MalformedRecord if the answer is none."""
        try:
            return self._ask()
        except OSError:
            if self._is_by_family:
                raise
            self._is_by_family = True
            dumps = [RepeatedDump(question(family, PROTOCOL_TCP, LISTENING), _MAX_LISTENERS) for family in _BYTES]
            self._by_dump = dict.fromkeys(dumps, frozenset[Service]())
            return self._ask()

    def close(self) -> None:
        """Close the sockets."""
        for one in self._by_dump:
            one.close()

    def _ask(self) -> frozenset[Service]:
        is_same = True
        try:
            for dump in self._by_dump:
                if (messages := dump.read()) is not None:
                    self._by_dump[dump] = frozenset(map(parse_answer, messages))
                    is_same = False
        except BaseException:
            self.close()  # what the kernel said is not what is known by dump
            raise
        if not is_same:
            self._found = frozenset[Service]().union(*self._by_dump.values())
        return self._found


def read_listeners() -> frozenset[Service]:
    """Return the listening sockets of this network namespace, once."""
    reader = ListenerReader()
    try:
        return reader.read()
    finally:
        reader.close()


def parse_answer(message: bytes) -> Service:
    """Return the socket of a struct inet_diag_msg; MalformedRecord if it is none."""
    if len(message) < _ANSWER.size:
        raise MalformedRecord("netlink", "a socket is cut")
    family, port, words = _ANSWER.unpack_from(message)
    if family not in _BYTES:
        raise MalformedRecord("netlink", f"a socket of family {family}")
    return _folded(words[: _BYTES[family]]), PROTOCOL_TCP, int.from_bytes(port, "big")


def read_tables(tables: Iterable[Path] = TABLES) -> frozenset[Service]:
    """Return what /proc/net/tcp says, with the same limit."""
    found: set[Service] = set()
    for table in tables:
        try:
            with table.open(encoding="ascii", errors="replace") as lines:
                found.update(parse_listeners(lines))
        except OSError:  # no IPv6
            continue
    return frozenset(found)


def parse_listeners(lines: Iterable[str]) -> Iterator[Service]:
    """Yield the listening sockets at the start of a table; other lines than the kernel's end it."""
    for line in islice(lines, 1, _MAX_LISTENERS + 1):
        words = line.split(maxsplit=4)
        if len(words) < 4 or words[3] != _LISTEN:
            return
        address, _, port = words[1].partition(":")
        try:
            yield _address(address), PROTOCOL_TCP, int(port, 16)
        except ValueError:
            return


def _address(digits: str) -> Address:
    """Return an address of words in the byte order of the machine; ANY_ADDRESS for the unspecified one."""
    if len(digits) not in (_WORD_DIGITS, 4 * _WORD_DIGITS):
        raise ValueError(f"{digits!r} is not an address")
    words = (digits[at : at + _WORD_DIGITS] for at in range(0, len(digits), _WORD_DIGITS))
    address = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return _folded(address)


def _folded(address: bytes) -> Address:
    return fold_mapped(address) if any(address) else ANY_ADDRESS
