"""Detects changes of our table by other programs: a socket that receives the notifications of nf_tables."""

import enum
import errno
import socket
import time
from collections.abc import Container

import msgspec

from monitor.enforcers import netlink
from monitor.enforcers.netlink import RawElement
from monitor.enforcers.netlink_socket import DATAGRAM_BYTES, open_socket
from monitor.enforcers.nftables.listing import pair_intervals
from monitor.enforcers.nftables.notices import (
    DELETED_ELEMENTS,
    DELETED_TABLE,
    NEW_ELEMENTS,
    NEW_GENERATION,
    RULES,
    ChangeAuthor,
    Notice,
    decode_author,
    decode_set_name,
    notices,
)
from monitor.enforcers.nftables.rule_changes import RuleChanges
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_SETS
from monitor.model.addresses import Network, host
from monitor.model.alerts import Strength
from monitor.model.errors import MalformedRecord, TemporaryError

_ADD_MEMBERSHIP, _GROUP = 1, 7  # NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES
_MAX_DATAGRAMS = 256
_MAX_ELEMENTS = 4096


class DriftKind(enum.StrEnum):
    """How another program changed our table: a closed set, usable as a metric label."""

    TABLE_GONE = "table_gone"
    RULES_CHANGED = "rules_changed"
    """A chain, rule, set or counter was added or deleted."""
    ELEMENT_GONE = "element_gone"
    ELEMENT_ADDED = "element_added"
    ELEMENT_CHANGED = "element_changed"
    """A ban ended at another time in the kernel than here; only a comparison finds it."""
    ALLOW_CHANGED = "allow_changed"
    OVERRUN = "overrun"
    """Notifications were lost, or too many to keep: the changes are unknown, so compare everything."""


class Drift(msgspec.Struct, frozen=True, gc=False):
    """One change; what follows the author is for elements only. An interval that is no prefix has no network.

    `left_s` is the remaining time of an element that was added, in seconds; None without a timeout.
    """

    kind: DriftKind
    author: ChangeAuthor | None = None
    network: Network | None = None
    strength: Strength | None = None
    set: str = ""
    left_s: float | None = None


class _Transaction:
    """The changes of a transaction of another program, collected up to its end."""

    def __init__(self) -> None:
        self.kinds: dict[DriftKind, None] = {}
        self.elements: dict[tuple[int, str], list[RawElement]] = {}
        self.port_sets: dict[str, None] = {}
        self.count = 0

    def __bool__(self) -> bool:
        return bool(self.kinds or self.elements or self.port_sets)

    def note(self, notice: Notice) -> None:
        """Add one message about our table."""
        if notice.type == DELETED_TABLE:
            self.kinds[DriftKind.TABLE_GONE] = None
        elif notice.type in RULES:
            self.kinds[DriftKind.RULES_CHANGED] = None
        elif notice.type in (NEW_ELEMENTS, DELETED_ELEMENTS):
            name = decode_set_name(notice.body)
            if name.startswith("allow"):
                self.kinds[DriftKind.ALLOW_CHANGED] = None
            elif name in PORT_SETS:
                self.port_sets[name] = None
            elif name in BAN_SETS and self.count <= _MAX_ELEMENTS:
                elements = netlink.decode_elements(notice.body)
                self.elements.setdefault((notice.type, name), []).extend(elements)
                self.count += len(elements)

    def drifts(self, author: ChangeAuthor | None) -> list[Drift]:
        """Return the changes; if the table was deleted, only that."""
        if DriftKind.TABLE_GONE in self.kinds:
            return [Drift(DriftKind.TABLE_GONE, author)]
        if self.count > _MAX_ELEMENTS:
            return [Drift(DriftKind.OVERRUN, author)]
        found = [Drift(kind, author) for kind in self.kinds]
        found += [Drift(DriftKind.ELEMENT_CHANGED, author, set=name) for name in self.port_sets]
        for (kind, name), elements in self.elements.items():
            found += _of_elements(kind, name, elements, author)
        return found


def _of_elements(kind: int, name: str, elements: list[RawElement], author: ChangeAuthor | None) -> list[Drift]:
    drift = DriftKind.ELEMENT_ADDED if kind == NEW_ELEMENTS else DriftKind.ELEMENT_GONE
    strength = BAN_SETS[name]
    if name.endswith("_nets"):
        pairs = pair_intervals(elements)
        if len(pairs) != sum(not element.is_end for element in elements) or not pairs:
            return [Drift(drift, author, None, strength, name)]
    else:
        pairs = [(host(element.key), element) for element in elements]
    return [Drift(drift, author, network, strength, name, _left_s(element)) for network, element in pairs]


def _left_s(element: RawElement) -> float | None:
    return None if element.remaining_ms is None else element.remaining_ms / 1000


class DriftWatch:
    """Listens in the network namespace of the calling thread as soon as it is created.

    PermanentError if kernel support or a privilege is missing.
    """

    def __init__(self, own_ports: Container[int], changes: RuleChanges | None = None) -> None:
        """`own_ports`: netlink ports of our own changes (`NftablesEnforcer.ports`), checked for each notification.

        `changes` notes those of other tables.
        """
        self._own_ports = own_ports
        self._changes = changes
        self._socket = open_socket()
        try:
            self._socket.setsockopt(270, _ADD_MEMBERSHIP, _GROUP)  # SOL_NETLINK
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray(DATAGRAM_BYTES)
        self._open = _Transaction()

    def fileno(self) -> int:
        """Return the descriptor to wait for; it stays readable while notifications are left."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def read(self) -> list[Drift]:
        """Return the changes by other programs since the last call, without waiting; reads at most 256 datagrams.

        Changes are reported when their transaction is complete. TemporaryError if the socket fails.
        """
        found: list[Drift] = []
        for _ in range(_MAX_DATAGRAMS):
            try:
                size, _, flags, sender = self._socket.recvmsg_into([self._buffer], 0, socket.MSG_TRUNC)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise TemporaryError(f"notifications of nf_tables cannot be read: {error}") from error
                found.append(self._overrun())
                continue
            if sender[0] != 0:  # any process may send to our port; port 0 is the kernel
                continue
            if flags & socket.MSG_TRUNC:
                found.append(self._overrun())
                continue
            try:
                datagram = bytes(memoryview(self._buffer)[:size])
                if self._changes is not None:
                    self._changes.take(datagram, self._own_ports, time.time())
                self._take(datagram, found)
            except MalformedRecord:
                found.append(self._overrun())
        return found

    def _take(self, datagram: bytes, found: list[Drift]) -> None:
        for notice in notices(datagram, self._own_ports, with_ends=bool(self._open)):
            if notice.type != NEW_GENERATION:
                self._open.note(notice)
            elif self._open:
                found += self._open.drifts(decode_author(notice.body))
                self._open = _Transaction()

    def _overrun(self) -> Drift:
        self._open = _Transaction()
        if self._changes is not None:
            self._changes.forget_open()
        return Drift(DriftKind.OVERRUN)
