"""Reads which TCP ports of this node have a listening socket, from /proc/net/tcp (proc_net_tcp.rst in the kernel tree).

The kernel lists listening sockets before all others, so reading stops at the first connection: the cost does not grow
with the number of connections.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from monitor.model.addresses import Address, fold_mapped
from monitor.model.protocols import PROTOCOL_TCP
from monitor.model.services import ANY_ADDRESS, Service

TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTEN = "0A"
_MAX_LISTENERS = 4096
_WORD_DIGITS = 8


def read_listeners(tables: Iterable[Path] = TABLES) -> frozenset[Service]:
    """Return the listening sockets of this network namespace, at most 4,096 a family; empty where none can be read."""
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
    return fold_mapped(address) if any(address) else ANY_ADDRESS
