"""Digests of tables: the same rules give the same digest after a reboot, and when traffic has passed.

Left out are counters, handles, the content of named sets, and rules of programs that write new ones all the time.
Anonymous sets are sorted: the kernel lists them in the order of their hash.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from monitor.audit.ruleset import SETTLED, Chain, Rule

_STATE = {"counter": None, "last": None}
_MAX_DEPTH = 32


def digest_tables(chains: Iterable[Chain]) -> dict[str, str]:
    """Return the digest of each table that has a chain or rule of a settled author."""
    hashes: dict[str, Any] = {}
    for chain in sorted(chains, key=lambda chain: (chain.family, chain.table, chain.name)):
        rules = [rule for rule in chain.rules if rule.author in SETTLED]
        if chain.author not in SETTLED or not (rules or chain.policy not in ("", "accept")):
            continue
        digest = hashes.setdefault(f"{chain.family} {chain.table}", hashlib.sha256())
        head = [chain.name, chain.type, chain.hook, str(chain.priority), chain.policy]
        digest.update(msgspec.json.encode([head, [identity(rule) for rule in rules]]))
    return {table: digest.hexdigest()[:32] for table, digest in hashes.items()}


def identity(rule: Rule) -> str:
    """Return what tells a rule from others of its chain: the same for the same rule at any time."""
    if rule.saved:
        return rule.saved
    return msgspec.json.encode([_settled(one, 0) for one in rule.expressions]).decode("utf-8", "replace")


def _settled(one: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(one, list):
        return [_settled(item, depth + 1) for item in one]
    if not isinstance(one, dict):
        return one
    if len(one) == 1:
        kind, body = next(iter(one.items()))
        if kind in _STATE:
            return {kind: None}
        if kind == "quota" and isinstance(body, dict):
            return {kind: {key: value for key, value in body.items() if not key.startswith("used")}}
        if kind == "set" and isinstance(body, list):
            items = [_settled(item, depth + 1) for item in body]
            return {kind: sorted(items, key=msgspec.json.encode)}
    return {key: _settled(value, depth + 1) for key, value in one.items()}
