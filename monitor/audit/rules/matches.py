"""What packets a rule matches, for those matches that are simple: sets of numbers, addresses and names per field.

Two questions are asked of a rule: which packets are sure to match (to say that no later rule sees them), and which may
match (to say that a rule sees none). What is not modelled makes a rule match nothing for sure, and anything perhaps.

A field is a property of the packet that no rule of a chain changes; the caller compares across no rule that does
(`is_quiet`).
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from monitor.audit.rules.saved import mark_field, xt_match
from monitor.audit.rules.values import BYTE, PORT, V4, V6, WORD, Values, names, numbers, only
from monitor.audit.ruleset import Rule

TERMINAL = frozenset({"accept", "drop", "reject", "return", "goto"})
_TRANSPORT = {"tcp": "tcp", "udp": "udp", "sctp": "sctp", "dccp": "dccp", "udplite": "udplite", "th": ""}
_QUIET = frozenset({"match", "counter", "log", "limit", "quota", "accept", "drop", "reject", "return", "jump", "goto"})
"""Statements that leave packets as they are; jumps as far as the chain does that they lead to."""
_SURE = frozenset({"accept", "drop", "reject", "return", "jump", "goto", "counter", "log"})
"""Statements after which a rule continues to its verdict."""


class Matches(msgspec.Struct, frozen=True, kw_only=True):
    """The matches of a rule: a packet matches if each field has one of the values."""

    sure: dict[str, Values] | None
    """What is enough to match; None: nothing is known to be."""
    needed: dict[str, Values]
    """What every packet that matches has."""
    unread: frozenset[str] = frozenset()
    """What is needed besides, and not understood: `match`, `limit`, or the name of a match of iptables."""


def read_match(family: str, left: Any, right: Any) -> dict[str, Values] | None:
    """Return the fields and values of one comparison; None if it is not simple."""
    read = _match(family, {"op": "==", "left": left, "right": right})
    return None if read is None else read.implied


def matches(rule: Rule) -> Matches:
    """Return the matches before the rule's first other statement."""
    needed: dict[str, Values] = {}
    perhaps: dict[str, Values] = {}
    unread: set[str] = set()
    has_acted = False
    for one in rule.expressions:
        kind, body = only(one)
        if kind == "match":
            read = None if has_acted or not isinstance(body, dict) else _match(rule.ref.family, body)
            if read is None or not (_narrow(needed, read.implied) and _narrow(perhaps, read.perhaps)):
                unread.add(kind)
        elif kind == "xt":
            name = str(body.get("name")) if isinstance(body, dict) else ""
            inner = None if has_acted else xt_match(rule, name)
            if inner is None or not _narrow(needed, inner):
                unread |= {name} - {"comment", "REJECT"}
                has_acted |= name != "comment"
        else:
            has_acted = True
            if kind not in _SURE or not _narrow(perhaps, _implied_by_answer(rule.ref.family, kind, body)):
                unread.add(kind)
    sure = dict(needed)
    is_sure = not unread and _narrow(sure, perhaps)
    return Matches(sure=sure if is_sure else None, needed=needed, unread=frozenset(unread))


def _implied_by_answer(family: str, kind: str, body: Any) -> dict[str, Values]:
    """Return what `reject with …` matches although it is not written: only TCP can be answered with a reset."""
    form = body.get("type") if kind == "reject" and isinstance(body, dict) else None
    if form == "tcp reset":
        return {"l4proto": Values(names=frozenset({"tcp"}))}
    if form in ("icmp", "icmpv6") and family != ("ip" if form == "icmp" else "ip6"):
        return {"nfproto": Values(names=frozenset({"ipv4" if form == "icmp" else "ipv6"}))}
    return {}


def covers(sure: dict[str, Values], needed: dict[str, Values]) -> bool:
    """Whether every packet that has what is needed also matches for sure."""
    return all(field in needed and needed[field].is_within(values) for field, values in sure.items())


def is_quiet(rule: Rule, quiet_chains: Iterable[str]) -> bool:
    """Whether a rule leaves packets as they are; `quiet_chains`: names of chains whose rules all do."""
    for one in rule.expressions:
        kind, body = only(one)
        if kind == "xt":
            name = body.get("name") if isinstance(body, dict) else None
            if not (_is_match(body) or name in ("REJECT", "LOG", "NFLOG")):
                return False
        elif kind not in _QUIET:
            return False
    return not rule.target or rule.target in quiet_chains


def _is_match(body: Any) -> bool:
    return isinstance(body, dict) and body.get("type") == "match"


def _narrow(fields: dict[str, Values], more: dict[str, Values]) -> bool:
    """Add conditions on fields; False if one cannot be combined with what is there."""
    is_done = True
    for name, values in more.items():
        both = fields[name].common(values) if name in fields else values
        is_done &= both is not None
        if both is not None:
            fields[name] = both
    return is_done


class _Read(msgspec.Struct, frozen=True):
    """The field of a match with its values and those that it implies; what it may imply as well."""

    implied: dict[str, Values]
    perhaps: dict[str, Values] = {}


def _match(family: str, body: dict[str, Any]) -> _Read | None:
    operator, right = body.get("op"), body.get("right")
    kind, left = only(body.get("left"))
    if kind == "&" and isinstance(left, list) and operator in ("==", "!="):
        return _masked_mark(left, operator, right)
    if operator not in ("==", "!=", "in") or not isinstance(left, dict):
        return None
    if kind == "payload":
        return _payload(family, left, operator, right)
    key = left.get("key")
    if kind == "ct" and key == "state" and set(left) == {"key"}:  # a packet has one state
        return _field("ct state", names(right, operator))
    if operator == "in" or kind != "meta":
        return None
    if key == "mark":
        return _field("meta mark", numbers(right, operator, WORD))
    if key in ("l4proto", "nfproto", "iifname", "oifname", "iif", "oif", "pkttype"):
        return _field(str(key), names(right, operator))
    return None


def _masked_mark(left: list[Any], operator: str, right: Any) -> _Read | None:
    """Read `meta mark & MASK == VALUE`."""
    mask = left[1] if len(left) == 2 and only(left[0]) == ("meta", {"key": "mark"}) else None
    if type(mask) is not int or not 0 <= mask <= WORD:
        return None
    return _field(mark_field(mask), numbers(right, operator, WORD))


def _field(name: str, values: Values | None) -> _Read | None:
    return None if values is None else _Read({name: values})


def _payload(family: str, left: dict[str, Any], operator: str, right: Any) -> _Read | None:
    protocol, field = left.get("protocol"), left.get("field")
    if operator == "in":
        return None
    if protocol in _TRANSPORT and field in ("sport", "dport"):
        values = numbers(right, operator, PORT)
        name = _TRANSPORT[protocol]
        implied = {"l4proto": Values(names=frozenset({name}))} if name else {}
        return None if values is None else _Read({f"th {field}": values, **implied})
    if protocol in ("icmp", "icmpv6") and field == "type":
        read = names(right, operator)
        layer = {"l4proto": Values(names=frozenset({"icmp" if protocol == "icmp" else "ipv6-icmp"}))}
        # nft may ask for the family as well
        network = {"nfproto": Values(names=frozenset({"ipv4" if protocol == "icmp" else "ipv6"}))}
        return None if read is None else _Read({f"{protocol} type": read, **layer}, network if family == "inet" else {})
    if protocol not in ("ip", "ip6") or family in ("bridge", "netdev", "arp"):
        return None
    implied = {"nfproto": Values(names=frozenset({"ipv4" if protocol == "ip" else "ipv6"}))} if family == "inet" else {}
    found: Values | None = None
    if field in ("saddr", "daddr"):
        found = numbers(right, operator, V4 if protocol == "ip" else V6)
    elif field in ("ttl", "hoplimit"):
        found = numbers(right, operator, BYTE)
    elif field in ("protocol", "nexthdr"):
        found = names(right, operator)
    return None if found is None else _Read({f"{protocol} {field}": found, **implied})
