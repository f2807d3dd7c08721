"""A rule that no packet reaches, because an earlier one of its chain decides on all that it matches."""

from collections.abc import Iterator, Mapping

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.rules.matches import TERMINAL, Matches, covers, is_quiet, matches
from monitor.audit.ruleset import SETTLED, Chain, Rule

_MAX_EARLIER = 512
"""Rules of a chain that later ones are compared with: the work grows with the square of a chain."""


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
    earlier: list[tuple[Rule, Matches]] = []
    for rule in chain.rules:
        found = matches(rule)
        is_settled = rule.author in SETTLED
        if is_settled and not any(values.is_empty for values in found.needed.values()):
            for other, those in earlier:
                if those.sure is not None and covers(those.sure, found.needed):
                    yield rule, other
                    break
        if not is_quiet(rule, quiet):
            earlier.clear()
        elif found.sure is not None and rule.verdict.partition(" ")[0] in TERMINAL and len(earlier) < _MAX_EARLIER:
            earlier.append((rule, found))


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
