"""Reads which sockets of this network namespace take connections and datagrams, and whose they are.

Addresses and ports are in /proc/net/{tcp,udp}{,6} (proc_net_tcp.rst), the processes are found by the inodes among their
open files (proc_pid_fd(5)). Whether `::` takes IPv4, too, and which interface a socket is bound to, the kernel says by
sock_diag(7).
"""

import os
import re
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.netlink import attributes
from monitor.audit.reach import Listener, Protocol
from monitor.model.errors import MalformedRecord
from monitor.model.printable import printable
from monitor.node.sock_diag import LISTENING, UNCONNECTED, dump_sockets

_MAX_SOCKETS = 65_536
"""In one table; more are no service that is in use, and what is left out would look closed."""
_MAX_PROCESSES = 32_768
_MAX_FILES = 65_536
_LISTEN, _UNCONNECTED = "0A", "07"
_TABLES: tuple[tuple[str, Protocol, str], ...] = (
    ("tcp", "tcp", _LISTEN),
    ("tcp6", "tcp", _LISTEN),
    ("udp", "udp", _UNCONNECTED),
    ("udp6", "udp", _UNCONNECTED),
)
_INODE = re.compile(r"socket:\[(\d{1,20})\]")
_UNIT = re.compile(r"/([^/\n]+\.(?:service|socket|scope))(?:/|$)", re.MULTILINE)
_CONTAINER = re.compile(r"([0-9a-f]{64})")
_MAX_BYTES = 4096
_STATES = (socket.IPPROTO_TCP, LISTENING), (socket.IPPROTO_UDP, UNCONNECTED)
_SKV6ONLY = 11  # INET_DIAG_SKV6ONLY (linux/inet_diag.h)
_AT_DEVICE, _AT_INODE, _DIAG_BYTES = 40, 68, 72  # of inet_diag_msg


class _Row(NamedTuple):
    protocol: Protocol
    address: str
    port: int
    inode: int


class _Owner(NamedTuple):
    pid: int
    name: str
    unit: str


def read_sockets(proc: Path = Path("/proc")) -> tuple[Listener, ...]:
    """Return the sockets; what cannot be read of a process stays empty.

    JudgeError if there are more than 65,536 of a protocol and family.
    """
    rows = [row for name, protocol, state in _TABLES for row in _table(proc / "self/net" / name, protocol, state)]
    owners = dict(_owners(proc, {row.inode for row in rows if row.inode}))
    narrow, devices = _details()
    found: dict[tuple[Protocol, str, int, str], Listener] = {}
    for row in rows:
        owner = owners.get(row.inode, _Owner(0, "", ""))
        device = devices.get(row.inode, "")
        key = row.protocol, row.address, row.port, device
        if key in found and (found[key].pid or not owner.pid):
            continue
        found[key] = Listener(
            protocol=row.protocol,
            address=row.address,
            port=row.port,
            is_v6_only=row.inode in narrow,
            process=owner.name,
            pid=owner.pid,
            unit=owner.unit,
            device=device,
        )
    return tuple(sorted(found.values(), key=lambda one: (one.protocol, one.port, one.address, one.device)))


def _table(path: Path, protocol: Protocol, state: str) -> Iterator[_Row]:
    with suppress(OSError), path.open(encoding="ascii", errors="replace") as lines:
        for count, row in enumerate(parse_sockets(lines, protocol, state)):
            if count == _MAX_SOCKETS:
                raise JudgeError(f"more than {_MAX_SOCKETS} sockets of {path.name} are open")
            yield row


def parse_sockets(lines: Iterable[str], protocol: Protocol, state: str) -> Iterator[_Row]:
    """Yield the sockets in a state; for TCP, which lists listening sockets first, another state ends it."""
    for line in islice(lines, 1, None):
        words = line.split(maxsplit=10)
        if len(words) < 10:
            return
        if words[3] != state:
            if protocol == "tcp":
                return
            continue
        digits, _, port = words[1].partition(":")
        with suppress(ValueError):
            yield _Row(protocol, _address(digits), int(port, 16), int(words[9]))


def _address(digits: str) -> str:
    if len(digits) not in (8, 32):
        raise ValueError(digits)
    raw = b"".join(int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8))
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _owners(proc: Path, inodes: set[int]) -> Iterator[tuple[int, _Owner]]:
    """Yield for each socket the process with the lowest number that has it open."""
    found: set[int] = set()
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isdigit())[:_MAX_PROCESSES]  # noqa: PTH208
    except OSError:
        return
    for pid in pids:
        mine = _inodes(proc / str(pid) / "fd") & inodes - found
        if mine:
            found |= mine
            owner = _Owner(pid, printable(_read(proc / f"{pid}/comm").strip()), _unit(_read(proc / f"{pid}/cgroup")))
            yield from ((inode, owner) for inode in mine)
        if len(found) == len(inodes):
            return


def _inodes(directory: Path) -> set[int]:
    found = set()
    try:
        with os.scandir(directory) as files:
            for file in islice(files, _MAX_FILES):
                with suppress(OSError):
                    if match := _INODE.fullmatch(os.readlink(file.path)):  # noqa: PTH115
                        found.add(int(match[1]))
    except OSError:  # it ended, or it is not ours to read
        pass
    return found


def _unit(cgroup: str) -> str:
    if container := _CONTAINER.search(cgroup):
        return f"container {container[1][:12]}"
    units: list[str] = _UNIT.findall(cgroup)
    return printable(units[-1])[:128] if units else ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""


def _details() -> tuple[set[int], dict[int, str]]:
    """Return the inodes of the sockets that take IPv6 only, and by inode the interface of those that have one.

    What the kernel does not say is missing.
    """
    narrow: set[int] = set()
    devices: dict[int, str] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol, states in _STATES:
            with suppress(OSError, MalformedRecord, struct.error):  # a kernel without udp_diag has tcp_diag
                for body in dump_sockets(family, protocol, states):
                    index, inode = (struct.unpack_from("=I", body, at)[0] for at in (_AT_DEVICE, _AT_INODE))
                    if attributes(body[_DIAG_BYTES:]).get(_SKV6ONLY, b"\0") != b"\0":
                        narrow.add(inode)
                    if index:
                        devices[inode] = _device(index)
    return narrow, devices


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it is gone, and so is what the socket took
        return f"if{index}"
