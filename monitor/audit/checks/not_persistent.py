"""Rules that the operator wrote and that no unit would load at the next boot."""

import re
from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.ruleset import Author, Chain, Persistence

_KNOWN = frozenset(
    {
        "nftables.service",
        "netfilter-persistent.service",
        "iptables.service",
        "ip6tables.service",
        "ufw.service",
        "firewalld.service",
    }
)


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    tables: dict[tuple[str, str], int] = {}
    for chain in facts.ruleset.chains:
        if count := _own_rules(chain):
            tables[chain.family, chain.table] = tables.get((chain.family, chain.table), 0) + count
    kept = facts.ruleset.persistence
    if not tables or set(kept.loaders) - _KNOWN:  # a unit of the operator loads what it loads
        return
    if not kept.is_known:
        yield check.unknown("", "the units and files that load rules at a boot cannot be read")
        return
    for (family, table), count in sorted(tables.items()):
        if not is_kept(family, table, kept):
            loaders = (
                f"enabled are {', '.join(kept.loaders)}" if kept.loaders else "no unit that loads rules is enabled"
            )
            yield check.fail(
                f"{family} {table}",
                f"{count} {'rule' if count == 1 else 'rules'} of it would be gone after a boot: {loaders}",
                location=_place(kept),
            )


def _own_rules(chain: Chain) -> int:
    if chain.author is not Author.OPERATOR:
        return 0
    return sum(rule.author is Author.OPERATOR for rule in chain.rules)


def is_kept(family: str, table: str, kept: Persistence) -> bool:
    """Whether a file that a unit loads has this table: as nft writes it, or as iptables-save does."""
    named = re.compile(
        rf"^[^#\n]*\btable\s+{family}\s+\"?{re.escape(table)}\b"
        + (rf"|^[^#\n]*\btable\s+{re.escape(table)}\s*{{" if family == "ip" else ""),
        re.MULTILINE,
    )
    for path, text in kept.texts.items():
        name = path.rsplit("/", 1)[-1]
        is_v6 = "6" in name
        if (
            family in ("ip", "ip6")
            and is_v6 == (family == "ip6")
            and re.search(rf"^\*{re.escape(table)}$", text, re.MULTILINE)
        ):
            return True
        if named.search(text):
            return True
    return False


def _place(kept: Persistence) -> str:
    return next((path for path in kept.texts if path.endswith("nftables.conf")), "")


CHECK = Check(
    id="not-persistent",
    title="The operator's rules are loaded at boot",
    reason="After the next boot the node is open, and nobody sees it before somebody comes in.",
    severity=Severity.MEDIUM,
    remedy="Write the rules into /etc/nftables.conf and enable nftables.service, or use netfilter-persistent.",
    false_positives="Rules that a program of your own loads without a unit. Tables of programs known by name are left"
    " out: kube-proxy, network plugins, docker, ufw, firewalld and others load theirs.",
    needs=(Part.RULESET,),
    judge=_judge,
)
