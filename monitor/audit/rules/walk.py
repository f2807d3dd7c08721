"""Follows a packet of which little is known through the chains of a hook, as the rules are written.

This answers what the kernel cannot be asked with real packets: what becomes of a connection to a port that no rule
names. A rule applies if all its matches are simple and the packet is known to have what they need. A rule that may
apply, but has a match that is not understood, is `doubtful`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from monitor.audit.findings import RuleRef
from monitor.audit.rules.matches import Matches, matches, read_match
from monitor.audit.rules.saved import set_mark
from monitor.audit.rules.values import WORD, only
from monitor.audit.ruleset import Chain, Map, Rule, Ruleset


class Packet(dict[str, Any]):
    """Values by field, as `Matches` has them; a field that is not here is unknown. Rules may change its mark."""

    def __missing__(self, field: str) -> Any:
        """Return bits of the mark."""
        return self["meta mark"] & int(field.removeprefix(_BITS), 16)

    def __contains__(self, field: object) -> bool:
        """Whether a field is known."""
        return super().__contains__(field) or (
            isinstance(field, str) and field.startswith(_BITS) and super().__contains__("meta mark")
        )


_BITS = "meta mark & "
_MAX_DEPTH = 16  # NFT_JUMP_STACK_SIZE
_MAX_STEPS = 100_000
_ENDS = frozenset({"accept", "drop", "reject"})


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a packet at a hook."""

    is_dropped: bool
    by: RuleRef | None = None
    """The rule or policy that drops it, or the last one that accepts it; None: no chain is there."""
    doubtful: tuple[RuleRef, ...] = ()
    """Rules that may drop it all the same."""


class Walk:
    """Follows packets through one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        """Take the rules."""
        self._ruleset = ruleset
        self._matches: dict[int, Matches] = {}
        self._chains = {(chain.family, chain.table, chain.name): chain for chain in ruleset.chains}
        self._maps = {(one.family, one.table, one.name): one for one in ruleset.maps}
        self._steps = 0
        self._doubtful: list[RuleRef] = []

    def fate(self, hooks: Iterable[str], family: str, fields: Mapping[str, Any]) -> Fate:
        """Return what becomes of a packet of a family (`ip` or `ip6`) at hooks, one after the other."""
        packet = Packet(fields)
        self._steps, self._doubtful = 0, []
        last: RuleRef | None = None
        for hook in hooks:
            chains = [one for one in self._ruleset.chains if one.hook == hook and one.family in (family, "inet")]
            for chain in sorted(chains, key=lambda one: one.priority):
                if chain.type == "nat":
                    continue
                verdict, by = self._chain(chain, packet)
                verdict, by = (verdict, by) if verdict else (chain.policy or "accept", chain.ref)
                if verdict == "drop":
                    return Fate(is_dropped=True, by=by)
                last = by
        return Fate(is_dropped=False, by=last, doubtful=tuple(self._doubtful))

    def _of(self, rule: Rule) -> Matches:
        """Return the matches of a rule, which many packets meet."""
        found = self._matches.get(id(rule))
        if found is None:
            found = self._matches[id(rule)] = matches(rule)
        return found

    def _chain(self, chain: Chain, packet: Packet, depth: int = 0) -> tuple[str, RuleRef | None]:
        """Return `accept`, `drop`, or nothing if the chain ends without a verdict, and the rule that decides."""
        for rule in chain.rules:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                return "", None
            kind, target = self._verdict(rule, packet)
            if not rule.verdict:
                _set_mark(rule, self._of(rule), packet)
            if kind in _ENDS:
                return ("accept" if kind == "accept" else "drop"), rule.ref
            if kind == "return":
                return "", None
            if kind in ("jump", "goto") and depth < _MAX_DEPTH:
                inner = self._chains.get((chain.family, chain.table, target))
                found = self._chain(inner, packet, depth + 1) if inner else ("", None)
                if found[0] or kind == "goto":
                    return found
        return "", None

    def _verdict(self, rule: Rule, packet: Packet) -> tuple[str, str]:
        """Return what a rule does with the packet: a verdict and the chain that it leads to."""
        kind, _, target = rule.verdict.partition(" ")
        if kind == "vmap":
            return self._mapped(rule, packet)
        if kind not in (*_ENDS, "return", "jump", "goto"):
            return "", ""
        found = self._of(rule)
        known = {field: values for field, values in found.needed.items() if field in packet}
        if any(not values.holds(packet[field]) for field, values in known.items()):
            return "", ""
        if found.sure is not None:
            applies = all(field in packet and values.holds(packet[field]) for field, values in found.sure.items())
            return (kind, target) if applies else ("", "")
        if kind in ("drop", "reject") and rule.is_opaque and len(known) == len(found.needed):
            self._doubtful.append(rule.ref)
        return "", ""

    def _mapped(self, rule: Rule, packet: Packet) -> tuple[str, str]:
        """Return the verdict that a verdict map has for the packet."""
        *before, (_, body) = [only(one) for one in rule.expressions] or [("", None)]
        if any(kind != "counter" for kind, _ in before) or not isinstance(body, dict):
            return "", ""
        for key, value in self._elements(rule.ref, body.get("data")):
            fields = read_match(rule.ref.family, body.get("key"), key)
            if fields and all(field in packet and values.holds(packet[field]) for field, values in fields.items()):
                kind, inner = only(value)
                return kind, str(inner.get("target", "")) if isinstance(inner, dict) else ""
        return "", ""

    def _elements(self, ref: RuleRef, data: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(data, str):
            named: Map | None = self._maps.get((ref.family, ref.table, data.removeprefix("@")))
            yield from named.elements if named else ()
        kind, items = only(data)
        if kind == "set" and isinstance(items, list):
            yield from ((item[0], item[1]) for item in items if isinstance(item, list) and len(item) == 2)


def _set_mark(rule: Rule, found: Matches, packet: Packet) -> None:
    """Change the packet's mark as a rule does that applies."""
    if not found.unread & {"MARK", "mangle"} or found.unread - {"MARK", "mangle"}:
        return
    if not all(field in packet and values.holds(packet[field]) for field, values in found.needed.items()):
        return
    if "MARK" in found.unread:
        change = set_mark(rule)
    else:
        body = next((body for kind, body in map(only, rule.expressions) if kind == "mangle"), None)
        if not isinstance(body, dict) or body.get("key") != {"meta": {"key": "mark"}}:
            return
        value = body.get("value")
        change = (value, WORD) if type(value) is int else None
    if change is not None and "meta mark" in packet:
        value, mask = change
        packet["meta mark"] = packet["meta mark"] & ~mask ^ value
    else:
        packet.pop("meta mark", None)
