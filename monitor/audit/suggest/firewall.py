"""Changes of rules that are there, and of what loads them: only rules of the operator, by family, table, chain, handle.

Rules that other programs wrote are left to these: they would write them again.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from monitor.audit.findings import Finding, RuleRef
from monitor.audit.ruleset import Author, Rule
from monitor.audit.suggest.suggestion import Form, Known, Suggestion, as_set, is_word, subjects

_FAMILIES = frozenset({"ip", "ip6", "inet", "bridge", "arp", "netdev"})
_PLAIN_RULE = re.compile(r"[0-9A-Za-z_ .:/{},!=-]{1,256}")
_OF_A_FAMILY = re.compile(r"\b(ip6?|nfproto|icmp|icmpv6|arp|ether|saddr|protocol)\b")
_Key = tuple[str, str, str, int]
_HANDLES = "handles change when rules are loaded anew: compare with `nft -a list ruleset` before you run this"


def delete_rules(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest to delete rules that never decide."""
    yield from _by_handle(findings, known, "make sure that no packet needs them at another time")


def restrict_rules(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest the same rule with sources in place of rules that accept from everywhere.

    Rules of iptables, and others whose text cannot be given back to nft as it is, are deleted.
    """
    rules = _owned(known)
    repeated = [one for one in findings if one.rule and _is_repeatable(rules.get(_key(one.rule)))]
    lines = [line for one in repeated if one.rule for line in _restricted(one.rule, known)]
    if lines:
        yield Suggestion(
            check=repeated[0].check,
            subjects=subjects(repeated),
            form=Form.NFT,
            text="\n".join(dict.fromkeys(lines)),
            target="nft -f",
            warning="only networks around this node reach these ports then: add the addresses of administrators and of "
            f"members elsewhere before you load it; {_HANDLES}",
        )
    rest = [one for one in findings if one not in repeated]
    yield from _by_handle(
        rest,
        known,
        "hosts that use the port are cut off unless a rule with their addresses (`ip saddr { ... }`) is added before",
    )


def _restricted(rule: RuleRef, known: Known) -> Iterator[str]:
    place = f"{rule.family} {rule.table} {rule.chain} handle {rule.handle}"
    for size, word in ((4, "ip"), (16, "ip6")):
        sources = as_set(known.networks.uplink + known.networks.inside, size)
        if sources and rule.family in ("inet", word):
            yield f"insert rule {place} {word} saddr {sources} {rule.text}"
    yield f"delete rule {place}"


def _is_repeatable(rule: Rule | None) -> bool:
    """Whether a rule can be written again with a source: nothing in its text is quoted, of one family, or opaque."""
    if rule is None or rule.saved or rule.is_opaque or not _is_ours(rule.ref, {_key(rule.ref): rule}):
        return False
    return bool(_PLAIN_RULE.fullmatch(rule.ref.text)) and not _OF_A_FAMILY.search(rule.ref.text)


def _by_handle(findings: Sequence[Finding], known: Known, warning: str) -> Iterator[Suggestion]:
    owned = _owned(known)
    chosen = [one for one in findings if one.rule and _is_ours(one.rule, owned)]
    if chosen:
        lines = [
            f"delete rule {one.rule.family} {one.rule.table} {one.rule.chain} handle {one.rule.handle}"
            for one in chosen
            if one.rule
        ]
        yield Suggestion(
            check=chosen[0].check,
            subjects=subjects(chosen),
            form=Form.NFT,
            text="\n".join(dict.fromkeys(lines)),
            target="nft -f",
            warning=f"{warning}; {_HANDLES}",
        )


def _owned(known: Known) -> dict[_Key, Rule]:
    return {
        _key(rule.ref): rule
        for chain in known.facts.ruleset.chains
        if chain.author is Author.OPERATOR
        for rule in chain.rules
        if rule.author is Author.OPERATOR
    }


def _key(rule: RuleRef) -> _Key:
    return rule.family, rule.table, rule.chain, rule.handle


def _is_ours(rule: RuleRef, owned: Mapping[_Key, Rule]) -> bool:
    """Whether a rule is the operator's, and its names need no quotes."""
    names = is_word(rule.table) and is_word(rule.chain)
    return rule.handle > 0 and rule.family in _FAMILIES and names and _key(rule) in owned


def move_legacy(findings: Sequence[Finding], _: Known) -> Iterator[Suggestion]:
    """Suggest to move rules of iptables-legacy to nftables."""
    yield Suggestion(
        check=findings[0].check,
        subjects=subjects(findings),
        form=Form.COMMANDS,
        text="\n".join(
            (
                "iptables-legacy-save > /root/legacy4.rules",
                "ip6tables-legacy-save > /root/legacy6.rules",
                "iptables-nft-restore --noflush --test < /root/legacy4.rules",
                "ip6tables-nft-restore --noflush --test < /root/legacy6.rules",
                "# when both tests pass: the same without --test, then for each table of legacy:",
                "# iptables-legacy -t TABLE -F; iptables-legacy -t TABLE -X; ip6tables-legacy -t TABLE -F",
            )
        ),
        warning="programs that still call iptables-legacy write their rules again: switch them first "
        "(update-alternatives --set iptables /usr/sbin/iptables-nft)",
    )


def keep_rules(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest to save the operator's own tables, and to have them loaded at a boot."""
    tables = [
        (chain.family, chain.table)
        for chain in known.facts.ruleset.chains
        if chain.author is Author.OPERATOR and chain.family in _FAMILIES and is_word(chain.table)
    ]
    lines = [f"nft -s list table {family} {table} >> /etc/nftables.conf" for family, table in dict.fromkeys(tables)]
    yield Suggestion(
        check=findings[0].check,
        subjects=subjects(findings),
        form=Form.COMMANDS,
        text="\n".join(
            (
                "cp -p /etc/nftables.conf /etc/nftables.conf.before",
                *lines,
                "nft -c -f /etc/nftables.conf",
                "systemctl enable nftables.service",
            )
        ),
        warning="read the file before you enable the unit: it may have these tables twice now, and `flush ruleset` at "
        "its head removes the tables of other programs when it is loaded",
    )
