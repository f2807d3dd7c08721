"""Packets from other hosts to 127.0.0.0/8 are taken in."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import combined, either, listed, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity

_ALL = "net.ipv4.conf.all.route_localnet"
_LOOPBACK = "127.0.0.0/8"


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    missing = list(unknown(check, facts, _ALL))
    yield from missing
    names = [name for name in facts.host.interfaces if combined(facts.host, name, "route_localnet", either)]
    if not names or missing:
        return
    text = f"packets to {_LOOPBACK} are routed on {listed(names)}"
    if Part.RULESET in facts.lacks:
        yield check.unknown("net.ipv4.conf.*.route_localnet", f"{text}; {facts.lacks[Part.RULESET]}")
    elif not _is_guarded(facts):
        yield check.fail("net.ipv4.conf.*.route_localnet", text)


def _is_guarded(facts: Facts) -> bool:
    """Whether kubelet's or kube-proxy's rule against CVE-2020-8558 is there, or another that names 127.0.0.0/8."""
    texts = (rule.ref.text for chain in facts.ruleset.chains for rule in chain.rules)
    return any(_LOOPBACK in text and "drop" in text.lower() for text in texts)


CHECK = Check(
    id="route-localnet",
    title="Loopback addresses are not reached from outside",
    reason="A neighbour that sends to 127.0.0.1 by way of the node reaches services that trust loopback "
    "(CVE-2020-8558).",
    severity=Severity.MEDIUM,
    remedy="Set net.ipv4.conf.all.route_localnet to 0, or drop packets to 127.0.0.0/8 that are not from there. With "
    "kube-proxy: --iptables-localhost-nodeports=false.",
    false_positives="kube-proxy sets it in iptables mode; with the rule in KUBE-FIREWALL against this it passes.",
    needs=(Part.HOST,),
    judge=_judge,
)
