"""Notes which processes change the rules of other tables than ours: the kernel names them only as it happens.

It reads the notifications that `DriftWatch` receives anyway, and costs less than a microsecond for most of them: it
decodes the first ones about each table in a datagram only. Content of sets is left out, and so is what the caller does
not want to know, such as kube-proxy's chains.
"""

import struct
from collections.abc import Callable, Container

import msgspec

from monitor.enforcers.netlink import attributes
from monitor.enforcers.nftables.notices import DELETED_TABLE, NEW_GENERATION, RULES, decode_author
from monitor.model.errors import MalformedRecord

MAX_CHANGES = 64
_MAX_OPEN = 16
_DECODED = 3
"""Messages about one table in a datagram that are decoded: the first ones, and those that delete it."""
_HEADER = struct.Struct("=IHHII")
_READ = RULES | {DELETED_TABLE}
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_CHAIN_NAME = {10 << 8 | 3: 3, 10 << 8 | 5: 3, 10 << 8 | 6: 2, 10 << 8 | 8: 2}
"""By type, NEW and DEL of CHAIN and RULE: the attribute with the chain's name (NFTA_CHAIN_NAME, NFTA_RULE_CHAIN)."""


class RuleChange(msgspec.Struct, gc=False):
    """Changes of one table by processes of one name; `pid` is the latest one's, in the initial PID namespace."""

    table: str
    """Family and name."""
    process: str
    pid: int
    count: int
    """Transactions."""
    first_s: float
    last_s: float


class RuleChanges:
    """The latest changes, by table and name of the process."""

    def __init__(self, is_noted: Callable[[str, str], bool]) -> None:
        """`is_noted`: whether changes of a table's chain are of interest; the chain is empty for the table itself."""
        self._is_noted = is_noted
        self._open: dict[str, None] = {}
        self._known: dict[tuple[str, str], RuleChange] = {}

    def listed(self) -> list[RuleChange]:
        """Return what is known, the latest last: at most MAX_CHANGES."""
        return list(self._known.values())

    def forget_open(self) -> None:
        """Forget a transaction whose end may have been lost."""
        self._open.clear()

    def take(self, datagram: bytes, own_ports: Container[int], now_s: float) -> None:
        """Look at a datagram of notifications; one that is malformed says nothing."""
        offset, size = 0, len(datagram)
        seen: dict[bytes, int] = {}
        while size - offset >= 20:
            length, kind, _, _, port = _HEADER.unpack_from(datagram, offset)
            if length < 20 or length > size - offset:
                return
            if kind == NEW_GENERATION:
                self._close(datagram[offset + 16 : offset + length], now_s)
            elif kind in _READ and length > 24 and port not in own_ports and len(self._open) < _MAX_OPEN:
                # the family, and the name of the table, which is the first attribute of every kind of message
                table = datagram[offset + 16 : offset + min(20 + datagram[offset + 20], length)]
                count = seen[table] = seen.get(table, 0) + 1
                if count <= _DECODED or kind == DELETED_TABLE:
                    self._add(kind, datagram[offset + 16 : offset + length])
            offset += (length + 3) & ~3

    def _add(self, kind: int, body: bytes) -> None:
        try:
            fields = dict(attributes(body, 4))
        except MalformedRecord:
            return
        table = _name(fields.get(1, b""))
        if table and self._is_noted(table, _name(fields.get(_CHAIN_NAME.get(kind, 0), b""))):
            self._open[f"{_FAMILIES.get(body[0], body[0])} {table}"] = None

    def _close(self, body: bytes, now_s: float) -> None:
        """Note whose the open transaction was."""
        if not self._open:
            return
        tables, self._open = self._open, {}
        try:
            author = decode_author(body)
        except MalformedRecord:
            return
        if author is None:
            return
        for table in tables:
            key = table, author.name
            known = self._known.pop(key, None) or RuleChange(table, author.name, author.pid, 0, now_s, now_s)
            known.pid, known.count, known.last_s = author.pid, known.count + 1, now_s
            self._known[key] = known
            if len(self._known) > MAX_CHANGES:
                del self._known[next(iter(self._known))]


def _name(raw: bytes) -> str:
    text = raw.rstrip(b"\0").decode("ascii", "replace")[:256]
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text)
