"""Asks the kernel what tables of iptables-legacy hold: nft lists none of them, and the tool may not be installed.

The numbers and structures are those of linux/netfilter_ipv4/ip_tables.h; ip6_tables.h has the same ones. Only tables
that `ip_tables_names` in `/proc/net` lists are asked for: asking for another one makes it.
"""

import ctypes
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import msgspec

from monitor.files.regular import read_regular

_INFO, _ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES
_FAMILIES = (("ip", "ip_tables_names", socket.AF_INET, 0), ("ip6", "ip6_tables_names", socket.AF_INET6, 41))
"""Family, list of tables, and the level of the options: SOL_IP, SOL_IPV6."""
_GETINFO = struct.Struct("=32sI5I5III")
_HEAD = 40
"""Bytes before the entries: a name and a size, aligned to 8."""
_ENTRY_IP = {"ip": struct.Struct("=88xHH"), "ip6": struct.Struct("=140xHH")}
"""Where an entry says how far away its target is: behind ip (84) or ip6 (136) and nfcache (4)."""
_TARGET_HEAD = 32
_DROP = -1  # -NF_DROP - 1
_MAX_BYTES = 32 * 2**20
_MAX_TABLES = 16


class LegacyTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of iptables-legacy."""

    family: str
    name: str
    rules: int
    """Entries besides the policies of its hooks: rules, and two for each chain of the user."""
    drops: bool
    """Whether the policy of a hook is to drop."""

    @property
    def is_empty(self) -> bool:
        """Whether it decides nothing."""
        return not (self.rules or self.drops)


def legacy_tables(proc: Path = Path("/proc/thread-self/net")) -> tuple[LegacyTable, ...]:
    """Return the tables of this thread's network namespace. OSError if they cannot be read."""
    found: list[LegacyTable] = []
    for family, names, domain, level in _FAMILIES:
        with suppress(FileNotFoundError):  # a kernel without them
            listed = read_regular(proc / names, 4096).decode("ascii", "replace").split()[:_MAX_TABLES]
            found.extend(_read(family, name, domain, level) for name in listed)
    return tuple(found)


def _read(family: str, name: str, domain: int, level: int) -> LegacyTable:
    with socket.socket(domain, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
        key = name.encode()[:31].ljust(32, b"\0")
        info = _ask(asked, level, _INFO, key.ljust(_GETINFO.size, b"\0"))
        _, hooks, *offsets, count, size = _GETINFO.unpack(info)
        if size > _MAX_BYTES:
            raise OSError(0, f"table {family} {name} of iptables-legacy has {size} bytes")
        entries = _ask(asked, level, _ENTRIES, key + struct.pack("=II", size, 0) + bytes(size))[_HEAD:]
        used = [number for number in range(5) if hooks & 1 << number]
        drops = any(_policy(family, entries, offsets[5 + number]) == _DROP for number in used)
        return LegacyTable(family=family, name=name, rules=max(0, count - len(used) - 1), drops=drops)


def _policy(family: str, entries: bytes, offset: int) -> int:
    form = _ENTRY_IP[family]
    if offset + form.size > len(entries):
        return _DROP
    target, _ = form.unpack_from(entries, offset)
    at = offset + target + _TARGET_HEAD
    verdict: int = struct.unpack_from("=i", entries, at)[0] if at + 4 <= len(entries) else _DROP
    return verdict


def _ask(asked: socket.socket, level: int, option: int, given: bytes) -> bytes:
    """Call getsockopt(2) with a buffer that holds a question: Python's own method gives an empty one."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(given, len(given))
    length = ctypes.c_uint32(len(given))
    if libc.getsockopt(asked.fileno(), level, option, buffer, ctypes.byref(length)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return buffer.raw
