"""The node, or what it forwards, is open to what no rule decides."""

from collections.abc import Iterator
from ipaddress import ip_address

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity, Zone
from monitor.audit.reach import Outcome, Verdict
from monitor.audit.rules.walk import Fate, Walk
from monitor.audit.ruleset import Author

_FAMILIES = (("ip", "IPv4", "100.0.0.77"), ("ip6", "IPv6", "2600::77"))
"""Family, its name, and an address somewhere in the Internet."""
_SWITCHES = {
    ("forward", "ip"): ("net.ipv4.ip_forward", "1"),
    ("forward", "ip6"): ("net.ipv6.conf.all.forwarding", "1"),
}
"""The sysctls that must have a value for such packets to be forwarded at all."""
_PORTS = (7, 61337)
"""Ports that no rule names: a low one and a high one."""
_UNNAMED_INTERFACE = "uplink"


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    walk = Walk(facts.ruleset)
    for hook in ("input", "forward"):
        for family, name, address in _FAMILIES:
            if not _is_used(facts, hook, family) or (hook == "forward" and _has_network_plugin(facts)):
                continue
            tried = [one for one in facts.reach.unnamed if hook == "input" and one.probe.is_v6 is (family == "ip6")]
            if tried and len(facts.host.uplinks) <= 1:
                yield from _tried_findings(
                    check, family, name, tried, _worst(walk, facts.host.uplinks, hook, family, address)
                )
            else:
                yield from _findings(check, hook, family, name, _worst(walk, facts.host.uplinks, hook, family, address))


def _tried_findings(
    check: Check, family: str, name: str, tried: list[Verdict], fates: dict[str, Fate]
) -> Iterator[Finding]:
    """Yield what the kernel did with packets to ports that no rule names.

    Where that is unknown, rules that drop are still certain: whatever else decides can only drop more.
    """
    asked: dict[tuple[str, str], list[Verdict]] = {}
    for one in tried:
        asked.setdefault((one.probe.protocol, one.probe.address), []).append(one)
    opened = {protocol: verdict for (protocol, _), some in asked.items() if (verdict := _opened(some)) is not None}
    unknown = next((one.why or "no answer" for one in tried if one.outcome is Outcome.UNKNOWN), "")
    if opened:
        by = next(iter(opened.values())).decided_by
        what = "" if len(opened) == len(fates) else f" ({', '.join(opened).upper()})"
        text = f"{name}{what} that matches no rule is accepted: {by or 'no chain drops it'}"
        yield check.fail(f"input {family}", text, zones=(Zone.WORLD,), rule=by)
    elif unknown and not all(one.is_dropped for one in fates.values()):
        yield check.unknown(f"input {family}", f"{name}: {unknown}")


def _opened(verdicts: list[Verdict]) -> Verdict | None:
    """Return a probe that arrived though no rule is about its port; None if there is none.

    A rule that accepts a range of ports is about each of them: only if all arrive, it accepts everything.
    """
    reached = [one for one in verdicts if one.outcome is Outcome.REACHED]
    by_policy = next((one for one in reached if not one.decider or one.decider.verdict == "policy accept"), None)
    return by_policy or (reached[0] if reached and len(reached) == len(verdicts) else None)


def _findings(check: Check, hook: str, family: str, name: str, fates: dict[str, Fate]) -> Iterator[Finding]:
    passed = {what: one for what, one in fates.items() if not one.is_dropped}
    if not passed:
        return
    subject = f"{hook} {family}"
    doubtful: list[RuleRef] = [rule for one in passed.values() for rule in one.doubtful]
    if doubtful and all(one.doubtful for one in passed.values()):
        yield check.unknown(subject, f"{name}: whether it drops what no rule accepts is not understood: {doubtful[0]}")
        return
    by = next(iter(passed.values())).by
    what = "" if len(passed) == len(fates) else f" ({', '.join(passed)})"
    where = "is accepted" if hook == "input" else "is forwarded"
    text = f"{name}{what} that matches no rule {where}: " + (f"{by}" if by else f"no chain of the {hook} hook")
    yield check.fail(subject, text, severity=Severity.HIGH if hook == "input" else Severity.MEDIUM, rule=by)


def _worst(walk: Walk, uplinks: tuple[str, ...], hook: str, family: str, address: str) -> dict[str, Fate]:
    """Return what becomes of connections that no rule names, by protocol, at the uplink that accepts the most."""
    all_fates = []
    for interface in uplinks or (_UNNAMED_INTERFACE,):
        fates = {}
        for protocol in ("tcp", "udp"):
            tried = [
                walk.fate(
                    ("prerouting", hook),
                    family,
                    {
                        "nfproto": "ipv4" if family == "ip" else "ipv6",
                        "l4proto": protocol,
                        f"{family} {'protocol' if family == 'ip' else 'nexthdr'}": protocol,
                        f"{family} saddr": int(ip_address(address)),
                        "ct state": "new",
                        "pkttype": "host",
                        "th dport": port,
                        "th sport": port,
                        "meta mark": 0,
                        "iifname": interface,
                        "iif": interface,
                    },
                )
                for port in _PORTS
            ]
            fates[protocol.upper()] = next((one for one in tried if not one.is_dropped), tried[0])
        all_fates.append(fates)
    return min(all_fates, key=lambda fates: sum(one.is_dropped for one in fates.values()))


def _is_used(facts: Facts, hook: str, family: str) -> bool:
    """Whether packets of the family get there; if it is unknown, they do."""
    if Part.HOST in facts.lacks or not facts.host.sysctls:
        return hook == "input"
    if family == "ip6" and facts.host.sysctls.get("net.ipv6.conf.all.disable_ipv6") != "0":
        return False
    name, value = _SWITCHES.get((hook, family), ("", ""))
    return not name or facts.host.sysctls.get(name) == value


def _has_network_plugin(facts: Facts) -> bool:
    """Whether forwarding is the business of Kubernetes: any pod may reach any other unless a policy denies it."""
    authors = {chain.author for chain in facts.ruleset.chains}
    return bool(authors & {Author.KUBE_PROXY, Author.CNI})


CHECK = Check(
    id="default-accept",
    title="What no rule accepts is dropped",
    reason="A service that somebody starts later is open at once, unless the firewall drops what it does not know.",
    severity=Severity.HIGH,
    remedy="Give the chain of your firewall the policy drop, after rules for what must be open; for IPv4 and for IPv6.",
    false_positives="Cilium and cloud firewalls drop outside of nftables; IPv6 may end at the router."
    " Forwarding is not judged on nodes of Kubernetes, where network policies decide.",
    needs=(Part.RULESET,),
    judge=_judge,
)
