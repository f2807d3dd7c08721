"""Commits changes of the table in as few transactions as possible, and reports which ones the kernel refused."""

import errno
import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS, ElementEncoder, NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket, TooMuchAtOnce
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_SETS, TABLE, port_set_name, set_name
from monitor.enforcers.protocol import Failure, FailureCause, ForeignElement
from monitor.model.addresses import Network, host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.model.errors import TemporaryError

_CHUNK_MESSAGES = 8192
_CHUNK_BYTES = 1 << 20
_MAX_TIMEOUT_S = 100 * 365 * 86400.0
"""Longer bans are reduced to this: the kernel keeps timeouts in nanoseconds and refuses larger values."""

ENCODERS = {name: ElementEncoder(TABLE, name) for name in (*BAN_SETS, *PORT_SETS, "allow4", "allow6")}
SET_FULL = (errno.ENFILE, errno.ENOSPC)


class TableMissing(TemporaryError):  # noqa: N818 - named after what the caller must repair
    """The table or one of its sets is missing: call `setup` and add the bans again."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """The messages for one ban, or for bans that overlap: all of them are committed or none."""

    network: Network
    strength: Strength
    requests: tuple[NetlinkRequest, ...]


Refused: TypeAlias = list[tuple[Item, int]]
"""Items that are not in force, with the errno of the kernel."""


def commit(link: NetlinkSocket, items: Sequence[Item], check: Callable[[Refused], None] | None = None) -> Refused:
    """Commit all items in as few transactions as possible; return those that were refused, with their errno.

    A transaction is all or nothing, so refused items are removed and the rest is sent again. `check` is called with
    the refused items before that and may raise.
    """
    refused: Refused = []
    pending = list(_chunks(items, min(_CHUNK_BYTES, link.send_limit_bytes)))[::-1]
    while pending:
        chunk = pending.pop()
        try:
            failed = _transact(link, chunk)
        except TooMuchAtOnce:
            if len(chunk) == 1:  # too large even alone: only this item is refused
                refused.append((chunk[0], errno.ENOBUFS))
                continue
            half = len(chunk) // 2
            pending += [chunk[half:], chunk[:half]]
            continue
        if failed:
            new = [(chunk[index], code) for index, code in sorted(failed.items())]
            if check is not None:
                check(new)
            refused += new
            if rest := [item for index, item in enumerate(chunk) if index not in failed]:
                pending.append(rest)
    return refused


def _transact(link: NetlinkSocket, chunk: Sequence[Item]) -> dict[int, int]:
    """Send a chunk; return the errno of each item that failed, by its index in the chunk."""
    requests: list[NetlinkRequest] = []
    owners: list[int] = []
    for index, item in enumerate(chunk):
        requests += item.requests
        owners += [index] * len(item.requests)
    failed: dict[int, int] = {}
    for index, code in link.transact(requests).items():
        failed.setdefault(owners[index], code)
    return failed


def _chunks(items: Sequence[Item], limit_bytes: int) -> Iterable[list[Item]]:
    chunk: list[Item] = []
    messages = size = 0
    for item in items:
        item_bytes = sum(netlink.encoded_bytes(request) for request in item.requests)
        if chunk and (messages + len(item.requests) > _CHUNK_MESSAGES or size + item_bytes > limit_bytes):
            yield chunk
            chunk, messages, size = [], 0, 0
        chunk.append(item)
        messages += len(item.requests)
        size += item_bytes
    if chunk:
        yield chunk


def milliseconds(remaining_s: float) -> int:
    """Return a timeout for the kernel: whole milliseconds, rounded up, at most a hundred years."""
    return max(1, math.ceil(min(remaining_s, _MAX_TIMEOUT_S) * 1000))


def demand_table(link: NetlinkSocket, refused: Refused) -> None:
    """Raise TableMissing if items were refused because the table or a set is missing."""
    if any(code == errno.ENOENT for _, code in refused):
        there = listing.read_definitions(link, (*BAN_SETS, *PORT_SETS))
        if any(_set_of(item.network, item.strength) not in there for item, _ in refused):
            raise TableMissing(f"table inet {TABLE} or one of its sets is missing")


def failure(network: Network, strength: Strength, code: int) -> Failure:
    """Return the failure of a ban with its reason; `code` is an errno."""
    name = _set_of(network, strength)
    if code in SET_FULL:
        cause, reason = FailureCause.SET_FULL, f"set {name} is full"
    elif code in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT):
        cause, reason = FailureCause.OVERLAP, f"it overlaps an element that another program added to set {name}"
    elif code in (errno.ENOBUFS, errno.ENOMEM):
        cause, reason = FailureCause.NO_MEMORY, f"the kernel has no memory for the ban: {os.strerror(code)}"
    else:
        cause, reason = FailureCause.OTHER, f"set {name}: {os.strerror(code)}"
    return Failure(network, strength, cause, reason)


def _set_of(network: Network, strength: Strength) -> str:
    return (network.ports and port_set_name(network, strength)) or set_name(network, strength)


def running(bans: Iterable[Ban], now_s: float) -> tuple[list[Ban], list[Ban], list[Ban]]:
    """Split the bans that have not expired into single addresses, prefixes, and bans of some ports only."""
    hosts: list[Ban] = []
    prefixes: list[Ban] = []
    of_ports: list[Ban] = []
    for ban in bans:
        if ban.until_s > now_s:
            (of_ports if ban.network.ports else hosts if ban.network.is_host else prefixes).append(ban)
    return hosts, prefixes, of_ports


def adding(ban: Ban, now_s: float) -> Item:
    """Return the messages that add the ban of a single address."""
    timeout_ms = milliseconds(ban.until_s - now_s)
    add = _request(NEW_ELEMENTS, ban, netlink.encode_key(ban.network.address, timeout_ms=timeout_ms))
    return Item(ban.network, ban.strength, (add,))


def refreshing(ban: Ban, now_s: float, count: tuple[int, int]) -> Item:
    """Return the messages that give the ban of a single address a new expiry; `count` is its counter now.

    Kernels before 6.12 ignore a new timeout of an existing element. The first add makes the delete succeed.
    """
    timeout_ms = milliseconds(ban.until_s - now_s)
    add = _request(NEW_ELEMENTS, ban, netlink.encode_key(ban.network.address, timeout_ms=timeout_ms, count=count))
    remove = _request(DEL_ELEMENTS, ban, netlink.encode_key(ban.network.address))
    return Item(ban.network, ban.strength, (add, remove, add))


def deleting(element: ForeignElement) -> Item:
    """Return the message that deletes an element of another program."""
    keys = netlink.encode_key(element.first)
    if element.set.endswith("_nets") and element.last != b"\xff" * len(element.last):
        end = (int.from_bytes(element.last) + 1).to_bytes(len(element.last))
        keys += netlink.encode_key(end, is_end=True)
    return Item(host(element.first), element.strength, (ENCODERS[element.set].request(DEL_ELEMENTS, keys),))


def _request(kind: int, ban: Ban, element: bytes) -> NetlinkRequest:
    return ENCODERS[set_name(ban.network, ban.strength)].request(kind, element)
