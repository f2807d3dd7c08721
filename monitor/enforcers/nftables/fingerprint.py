"""Reads how the table is defined (table, chains, rules, sets, objects), for comparison with later readings.

The parts are kept as the kernel's own bytes, without what the kernel counts or numbers. So it does not matter who wrote
the table and how, only whether it is still the same. Numbers are those of linux/netfilter/nf_tables.h.
"""

import hashlib
import logging
import struct
from collections.abc import Collection, Mapping
from typing import TypeAlias

from monitor.enforcers import netlink
from monitor.enforcers.netlink import GET_OBJECT, GET_SET, NFPROTO_INET, NLM_F_REQUEST, NetlinkRequest, attributes
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.definition import part_names
from monitor.enforcers.nftables.ruleset import TABLE
from monitor.model.errors import TemporaryError

_log = logging.getLogger(__name__)

Definition: TypeAlias = Mapping[str, bytes]
"""A digest of each part, by its name: `table`, `chain ban`, `rules of chain ban`, `set ban4`, `object ban4`."""

_ATTEMPTS = 5
_SHOWN = 5
_GET_CHAIN, _GET_RULE = 10 << 8 | 4, 10 << 8 | 7
_VOLATILE = {
    "table": frozenset({3, 4}),  # NFTA_TABLE_USE, HANDLE
    "chain": frozenset({2, 6, 8}),  # NFTA_CHAIN_HANDLE, USE, COUNTERS
    "rules of chain": frozenset({3, 6}),  # NFTA_RULE_HANDLE, POSITION (the handle of the rule before)
    "set": frozenset({16, 20}),  # NFTA_SET_HANDLE, COUNT (Linux 6.16)
    "object": frozenset({4, 5, 6}),  # NFTA_OBJ_DATA (the values of a counter), USE, HANDLE
}
"""The attributes of each kind of part that change by themselves."""
_LISTINGS = (("chain", _GET_CHAIN, 3), ("rules of chain", _GET_RULE, 2), ("set", GET_SET, 2), ("object", GET_OBJECT, 2))
"""The kinds of parts that are listed, with the attribute that has the name of the part or of its chain."""
_INET = bytes((NFPROTO_INET,))


def read_definition(table: str = TABLE) -> dict[str, bytes]:
    """Read the definition of a table of ours; empty if there is none. May be called from any thread.

    TemporaryError if others change nf_tables all the time meanwhile.
    """
    for _ in range(_ATTEMPTS):
        link = NetlinkSocket()  # of its own: a listing that was interrupted goes on in the one before
        try:
            return _read(link, table)
        except TemporaryError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return {}
            if not isinstance(error.__cause__, InterruptedError):
                raise
        finally:
            link.close()
    raise TemporaryError("the definition of the table could not be read: nf_tables kept changing")


def _read(link: NetlinkSocket, table: str) -> dict[str, bytes]:
    first = netlink.attribute(1, table.encode() + b"\0")  # its name comes first in every message
    answer = link.query([messages.get_table(table)])[0]
    if isinstance(answer, int):
        return {}
    parts = {"table": [_stable(answer.body, "table")]}
    for kind, request, name_at in _LISTINGS:
        body = struct.pack(">BBH", NFPROTO_INET, 0, 0) + first  # for chains, the kernel lists all tables anyway
        for reply in link.dump(NetlinkRequest(request, NLM_F_REQUEST, body)):
            if reply.body[:1] == _INET and reply.body.startswith(first, 4):
                name = dict(attributes(reply.body, 4)).get(name_at, b"").rstrip(b"\0").decode("utf-8", "replace")
                parts.setdefault(f"{kind} {name}", []).append(_stable(reply.body, kind))
    return {name: hashlib.blake2b(b"".join(stable), digest_size=16).digest() for name, stable in parts.items()}


def _stable(body: bytes, kind: str) -> bytes:
    """Return the attributes of a part that stay the same unless somebody changes it."""
    volatile = _VOLATILE[kind]
    return b"".join(netlink.attribute(number, value) for number, value in attributes(body, 4) if number not in volatile)


def strangers(found: Collection[str]) -> list[str]:
    """Return the parts that we never make."""
    return sorted(set(found) - part_names())


def differences(wanted: Definition, found: Definition) -> list[str]:
    """Say how a definition differs from the wanted one, a few words for each part; empty if it does not."""
    if not found:
        return ["the table is missing"]
    changed = [name for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name} changed" for name in sorted(changed)),
        *(f"{_printable(name)} is foreign" for name in sorted(found.keys() - wanted.keys())),
    ]


class WantedDefinition:
    """How the table should be defined: as it was right after it was set up."""

    def __init__(self) -> None:
        """Nothing is known before the first set-up."""
        self._wanted: Definition | None = None

    def note(self, *, is_new: bool = False) -> list[str]:
        """Read the definition after a set-up, and want it; unless it `is_new`, say what others left in it instead."""
        try:
            found = read_definition()
        except TemporaryError as error:
            _log.warning("%s", error)
            return []
        wrong = [] if is_new else differences(self._wanted, found) if self._wanted else strangers(found)
        if not wrong:
            self._wanted = found
        return wrong

    def differences(self) -> list[str]:
        """Say how the table is defined otherwise now. TemporaryError if others change nf_tables all the time."""
        found, wanted = read_definition(), self._wanted
        return differences(wanted, found) if wanted else ["what it should be could not be read when it was set up"]


def summary(texts: Collection[str]) -> str:
    """Join a few of these texts for a line of the log, and say how many more there are."""
    shown = ", ".join(list(texts)[:_SHOWN])
    return shown if len(texts) <= _SHOWN else f"{shown} and {len(texts) - _SHOWN} more"


def _printable(name: str) -> str:
    """Return a name that others chose without what a terminal would take for a command."""
    return "".join(one if one.isprintable() else "?" for one in name[:80])
