"""A rule that no packet reaches, because an earlier one of its chain decides on all that it matches."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.rules.matches import TERMINAL, covers, is_quiet, matches
from monitor.audit.rules.values import Values
from monitor.audit.ruleset import SETTLED, Chain, Rule

_MAX_WIDE = 64
"""Rules of a chain for more than one value that later ones are compared with, one by one."""


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    quiet = quiet_chains(facts.ruleset.chains)
    for chain in facts.ruleset.chains:
        if chain.author not in SETTLED:
            continue
        for rule, earlier in shadows(chain, quiet.get(f"{chain.family} {chain.table}", frozenset())):
            same = "does the same" if rule.verdict == earlier.verdict else f"decides otherwise: {earlier.verdict}"
            yield check.fail(
                str(rule.ref),
                f"no packet reaches it: an earlier rule matches all that it matches, and {same}: {earlier.ref.text}",
                rule=rule.ref,
            )


def shadows(chain: Chain, quiet: frozenset[str]) -> Iterator[tuple[Rule, Rule]]:
    """Yield rules that no packet reaches, each with the earlier rule that covers it.

    `quiet`: chains of the table whose rules leave packets as they are.
    """
    earlier = _Earlier()
    for rule in chain.rules:
        found = matches(rule)
        is_settled = rule.author in SETTLED
        can_match = not any(values.is_empty for values in found.needed.values())
        if is_settled and can_match and (other := earlier.covering(found.needed)):
            yield rule, other
        if not is_quiet(rule, quiet):
            earlier.clear()
        elif found.sure is not None and rule.verdict.partition(" ")[0] in TERMINAL:
            earlier.add(rule, found.sure)


class _Earlier:
    """Rules that decide for sure. Those for one value of each field are found by their values."""

    def __init__(self) -> None:
        self._wide: list[tuple[Rule, dict[str, Values]]] = []
        self._narrow: dict[tuple[str, ...], dict[tuple[Any, ...], Rule]] = {}

    def clear(self) -> None:
        self._wide.clear()
        self._narrow.clear()

    def add(self, rule: Rule, sure: dict[str, Values]) -> None:
        fields = tuple(sorted(sure))
        values = tuple(sure[field].only for field in fields)
        if fields and None not in values:
            self._narrow.setdefault(fields, {}).setdefault(values, rule)
        elif len(self._wide) < _MAX_WIDE:
            self._wide.append((rule, sure))

    def covering(self, needed: dict[str, Values]) -> Rule | None:
        """Return the first wide rule, or else one for one value, that decides on all that has what is needed."""
        for rule, sure in self._wide:
            if covers(sure, needed):
                return rule
        for fields, rules in self._narrow.items():
            if all(field in needed for field in fields):
                found = rules.get(tuple(needed[field].only for field in fields))
                if found is not None:
                    return found
        return None


def quiet_chains(chains: tuple[Chain, ...]) -> Mapping[str, frozenset[str]]:
    """Return the chains whose rules leave packets as they are, by table; so do the chains that those jump to."""
    tables: dict[str, dict[str, Chain]] = {}
    for chain in chains:
        tables.setdefault(f"{chain.family} {chain.table}", {})[chain.name] = chain
    return {table: _quiet(named) for table, named in tables.items()}


def _quiet(chains: Mapping[str, Chain]) -> frozenset[str]:
    quiet = {name for name, chain in chains.items() if all(is_quiet(rule, chains) for rule in chain.rules)}
    callers: dict[str, set[str]] = {}
    for name, chain in chains.items():
        for rule in chain.rules:
            if rule.target:
                callers.setdefault(rule.target, set()).add(name)
    left = [name for name in chains if name not in quiet]
    while left:
        for caller in callers.get(left.pop(), ()):
            if caller in quiet:
                quiet.discard(caller)
                left.append(caller)
    return frozenset(quiet)


CHECK = Check(
    id="shadowed-rule",
    title="Every rule can be reached",
    reason="Somebody wrote the rule to close or to open something, and it does neither.",
    severity=Severity.LOW,
    remedy="Delete the rule, or move it before the one that covers it.",
    false_positives="Only simple matches are compared; what is found is sure, and there may be more.",
    needs=(Part.RULESET,),
    judge=_judge,
)
