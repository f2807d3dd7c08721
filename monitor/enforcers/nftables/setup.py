"""Creates the table through libnftables, and replaces a table with another definition without a gap in protection."""

import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS, encode_element
from monitor.enforcers.netlink_socket import NEEDS_KERNEL, NEEDS_PRIVILEGE, NetlinkSocket
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.commit import ENCODERS, Item, commit, milliseconds
from monitor.enforcers.nftables.ruleset import FORMER_SETS, SCHEMA, Element, set_name, set_specs, setup_text
from monitor.model.addresses import Network
from monitor.model.errors import PermanentError, TemporaryError

_NETLINK_NETFILTER = 12  # linux/netlink.h
_PORTS = 16


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """The kernel refused the transaction; the message is libnftables' error text."""


class OwnPorts:
    """The netlink ports from which this process recently changed the table; may be read from any thread.

    libnftables has its own socket and does not expose its port: it is found among our open descriptors.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_PORTS)

    def __contains__(self, port: object) -> bool:
        """Whether this port is one of ours."""
        return port in self._recent

    def __iter__(self) -> Iterator[int]:
        """Iterate over the ports, oldest first."""
        return iter(tuple(self._recent))

    def __len__(self) -> int:
        """Return the number of ports."""
        return len(self._recent)

    def note(self, port: int) -> None:
        """Remember a port, replacing the oldest one."""
        if port and port not in self._recent:
            self._recent.append(port)

    def note_open(self) -> None:
        """Remember the ports of all netfilter sockets that are open in this process."""
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # another thread may close it meanwhile
                if entry.readlink().name.startswith("socket:"):
                    self._note_descriptor(os.dup(int(entry.name)))

    def _note_descriptor(self, descriptor: int) -> None:
        with socket.socket(fileno=descriptor) as opened:
            if (opened.family, opened.proto) == (socket.AF_NETLINK, _NETLINK_NETFILTER):
                self.note(opened.getsockname()[0])


def setup(link: NetlinkSocket, ports: OwnPorts, *, max_bans: int, allowlist: Sequence[Network]) -> None:
    """Create or complete the table in one transaction; `allowlist` must be disjoint. See `NftablesEnforcer.setup`."""
    # A request first reveals missing kernel support or a missing privilege: without the former libnftables would exit.
    comment = listing.table_comment(link)
    with _explained():
        if comment is None or (SCHEMA.encode() in comment and _same_sets(link, max_bans)):
            try:
                _run(ports, setup_text(max_bans=max_bans, allowlist=allowlist))
            except _Refused:
                if comment is None:
                    raise
            else:
                return
        _replace(link, ports, max_bans=max_bans, allowlist=allowlist)


def _same_sets(link: NetlinkSocket, max_bans: int) -> bool:
    """Whether every existing set has the wanted definition: kernels differ in how they handle another size."""
    specs = set_specs(max_bans)
    return all(
        (found.key_bytes, found.interval, found.size) == (spec.key_bytes, spec.interval, spec.size)
        for name, found in listing.read_definitions(link).items()
        for spec in (specs[name],)
    )


def replace(link: NetlinkSocket, ports: OwnPorts, *, max_bans: int, allowlist: Sequence[Network]) -> None:
    """Delete the table and create it in one transaction; bans keep their time, and all counters continue."""
    with _explained():
        _replace(link, ports, max_bans=max_bans, allowlist=allowlist)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise what the caller can do about a refusal."""
    try:
        yield
    except _Refused as error:
        if "not supported" in str(error):
            raise PermanentError(f"{NEEDS_KERNEL}; nft says: {error}") from error
        raise TemporaryError(f"table inet nodewarden was not set up: {error}") from error


def _replace(link: NetlinkSocket, ports: OwnPorts, *, max_bans: int, allowlist: Sequence[Network]) -> None:
    read_at_s = time.monotonic()
    specs = set_specs(max_bans)
    definitions = listing.read_definitions(link, (*specs, *FORMER_SETS))
    readable = [
        name for name, found in definitions.items() if found.key_bytes == specs[FORMER_SETS.get(name, name)].key_bytes
    ]
    elements = _longest(listing.read_elements(readable), {name: spec.size for name, spec in specs.items()})
    counters = listing.read_any_counters(link)
    _run(ports, setup_text(max_bans=max_bans, allowlist=allowlist, replace=True, elements=elements, counters=counters))
    _count_prefixes(link, elements, read_at_s)


def _count_prefixes(link: NetlinkSocket, elements: Sequence[Element], read_at_s: float) -> None:
    """Restore the counters of prefixes, one transaction each: nft 1.0.6 loses them in interval sets."""
    items = []
    for element in elements:
        if element.packets and not element.network.is_host:
            encoder = ENCODERS[set_name(element.network, element.strength)]
            left_s = None if element.timeout_s is None else element.timeout_s - (time.monotonic() - read_at_s)
            counted = encode_element(
                element.network,
                interval=True,
                timeout_ms=None if left_s is None else milliseconds(left_s),
                count=(element.packets, element.bytes),
            )
            gone = encode_element(element.network, interval=True)
            requests = (encoder.request(DEL_ELEMENTS, gone), encoder.request(NEW_ELEMENTS, counted))
            items.append(Item(element.network, element.strength, requests))
    commit(link, items)  # refused items have expired meanwhile


def _longest(elements: Sequence[Element], sizes: dict[str, int]) -> list[Element]:
    """Return the elements that fit into each set, preferring those that expire last."""
    kept: list[Element] = []
    room = dict(sizes)
    for element in sorted(elements, key=lambda e: float("inf") if e.timeout_s is None else e.timeout_s, reverse=True):
        name = set_name(element.network, element.strength)
        if room[name] > 0:
            room[name] -= 1
            kept.append(element)
    return kept


def _run(ports: OwnPorts, text: str) -> None:
    context = _libnftables()
    code, _, errors = context.cmd(text)
    ports.note_open()  # only now: the kernel assigns the port of a socket on its first send
    if code == 0:
        return
    if "Operation not permitted" in errors:
        raise PermanentError(NEEDS_PRIVILEGE)
    raise _Refused(errors.strip().split("\n")[0] or f"exit code {code} ({errno.errorcode.get(-code, 'unknown')})")


class _Libnftables(Protocol):
    def cmd(self, cmdline: str) -> tuple[int, str, str]: ...


def _libnftables() -> _Libnftables:
    """Return a new context: it belongs to the current network namespace, and uses memory while it exists."""
    try:
        from nftables import Nftables
    except ModuleNotFoundError as error:
        raise PermanentError(
            "the Python module nftables is missing: install the distribution's package python3-nftables and use a "
            "virtual environment made with --system-site-packages"
        ) from error
    try:
        context: _Libnftables = Nftables()
    except OSError as error:
        raise PermanentError(f"libnftables cannot be loaded: {error}; install libnftables1") from error
    return context
