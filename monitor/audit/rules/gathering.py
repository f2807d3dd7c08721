"""Gathers the part RULESET of the facts: the rules, those of iptables-legacy, and what would load them at a boot."""

from pathlib import Path

import msgspec

from monitor.audit.rules.dump import Dump
from monitor.audit.rules.legacy import legacy_tables
from monitor.audit.rules.parse import MalformedRulesetError, parse_ruleset
from monitor.audit.rules.persistence import read_persistence
from monitor.audit.ruleset import Ruleset
from monitor.model.errors import NodewardenError


class RulesetLackingError(NodewardenError):
    """The rules are unknown; the text says why, as `Facts.lacks` takes it."""


def gather_ruleset(dump: Dump, root: Path = Path("/")) -> Ruleset:
    """Return the ruleset of a dump, made in this network namespace; RulesetLackingError if it cannot be had."""
    if "json" in dump.lacks:
        raise RulesetLackingError(f"the rules cannot be read: {dump.lacks['json']}")
    try:
        ruleset = parse_ruleset(dump.json, dump.xtables)
    except MalformedRulesetError as error:
        raise RulesetLackingError(str(error)) from error
    legacy: tuple[str, ...] = ()
    lack = ""
    try:
        legacy = tuple(f"{one.family} {one.name}" for one in legacy_tables() if not one.is_empty)
    except OSError as error:
        lack = f"tables of iptables-legacy cannot be read: {error.strerror or error}"
    return msgspec.structs.replace(ruleset, legacy_tables=legacy, legacy_lack=lack, persistence=read_persistence(root))
