"""Reads the kernel's trace of packets through nftables (linux/netfilter/nf_tables.h, net/netfilter/nf_tables_trace.c).

`nft monitor trace` would read all rules first: 57 MB for 12,000 of them. The messages themselves are small: table,
chain, handle, verdict, and with the first message of each hook the headers of the packet, which have the number of the
question.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from monitor.audit.kernel.frames import network_header, number_of
from monitor.audit.kernel.netlink import NFT, Netlink, attributes, text

_GROUP = 9  # NFNLGRP_NFTRACE
_NEWTABLE, _GETTABLE, _NEWRULE, _GETRULE, _TRACE = 0, 1, 6, 7, 17  # NFT_MSG_*
_BUFFER_BYTES = 32 << 20
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _NETWORK, _TRANSPORT, _POLICY = 1, 2, 3, 4, 5, 6, 8, 9, 16
_KIND_POLICY, _KIND_RETURN = 1, 2
_TABLE_NAME = 1
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE = 1, 2, 3
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6", 3: "arp"}
_NUMBERS = {name: number for number, name in FAMILIES.items()}
_JUMP, _GOTO = -3, -4
_VERDICTS = {-1: "continue", -2: "break", -5: "return", 0: "drop", 1: "accept", 2: "stolen", 3: "queue", 4: "repeat"}
POLICY = -1
"""In place of a handle: the policy of the chain."""


class Traced(NamedTuple):
    """One message: a rule or policy that the packet of a question met, and where the packet goes by its headers."""

    number: int
    family: str
    table: str
    chain: str
    handle: int
    """POLICY for the chain's policy."""
    verdict: str
    target: tuple[str, int] | None
    """Destination address and port; only with the first message of a hook."""


class Tracer:
    """Takes trace messages of the network namespace that it is made in."""

    def __init__(self) -> None:
        self._socket = Netlink(groups=1 << (_GROUP - 1), buffer_bytes=_BUFFER_BYTES)
        self._numbers: dict[int, int] = {}
        self.lost = 0

    def read(self) -> Iterator[Traced]:
        """Yield what has come until now."""
        for kind, payload in self._socket.pending():
            if kind == 0:
                self.lost += 1
            elif kind == NFT << 8 | _TRACE and (traced := self._decode(payload)):
                yield traced

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _decode(self, payload: bytes) -> Traced | None:
        try:
            found = attributes(payload[4:])
            target = self._follow(found)
            number = self._numbers.get(_number(found.get(_ID, b"")))
            if number is None or _TABLE not in found:
                return None
            kind = _number(found.get(_TYPE, b""))
            family = FAMILIES.get(payload[0], "")
            handle = _number(found.get(_HANDLE, b""))
            if kind == _KIND_POLICY:
                verdict = _VERDICTS.get(_signed(found.get(_POLICY, b"")), "")
                handle = POLICY
            else:
                verdict = "return" if kind == _KIND_RETURN else _verdict(found.get(_VERDICT, b""))
            return Traced(number, family, text(found[_TABLE]), text(found.get(_CHAIN, b"")), handle, verdict, target)
        except (struct.error, ValueError, IndexError):
            return None

    def _follow(self, found: dict[int, bytes]) -> tuple[str, int] | None:
        """Learn which question a trace is about; return the destination if the message has the headers."""
        network, transport = found.get(_NETWORK, b""), found.get(_TRANSPORT, b"")
        if not network or not transport:
            return None
        protocol, _, address = network_header(network)
        number = number_of(protocol, transport)
        trace = _number(found.get(_ID, b""))
        if number is None:
            self._numbers.pop(trace, None)
            return None
        self._numbers[trace] = number
        return address, int.from_bytes(transport[2:4])


def rule_handles(family: str, table: str, chain: str) -> list[int]:
    """Return the handles of a chain's rules in their order; empty if there is no such chain."""
    asked = Netlink()
    try:
        body = struct.pack("!BBH", _NUMBERS.get(family, 0), 0, 0)
        body += _attribute(_RULE_TABLE, table.encode() + b"\0") + _attribute(_RULE_CHAIN, chain.encode() + b"\0")
        answers = asked.dump(NFT << 8 | _GETRULE, body)
        found = (attributes(payload[4:]) for kind, payload in answers if kind == NFT << 8 | _NEWRULE)
        # older kernels do not filter by chain
        return [_number(one.get(_RULE_HANDLE, b"")) for one in found if text(one.get(_RULE_CHAIN, b"")) in (chain, "")]
    except (OSError, struct.error, ValueError):
        return []
    finally:
        asked.close()


def table_names() -> list[tuple[str, str]]:
    """Return family and name of every table; empty if the kernel does not say."""
    asked = Netlink()
    try:
        answers = asked.dump(NFT << 8 | _GETTABLE, struct.pack("!BBH", 0, 0, 0))
        return [
            (FAMILIES.get(payload[0], ""), text(attributes(payload[4:]).get(_TABLE_NAME, b"")))
            for kind, payload in answers
            if kind == NFT << 8 | _NEWTABLE
        ]
    except (OSError, IndexError):
        return []
    finally:
        asked.close()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _number(raw: bytes) -> int:
    return int.from_bytes(raw)


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw, signed=True)


def _verdict(raw: bytes) -> str:
    found = attributes(raw)
    code = _signed(found.get(_VERDICT_CODE, b""))
    if code in (_JUMP, _GOTO):
        return f"{'jump' if code == _JUMP else 'goto'} {text(found.get(_VERDICT_CHAIN, b''))}"
    return _VERDICTS.get(code if code < 0 else code & 0xFF, "")
