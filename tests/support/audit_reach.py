"""Writes down what packets reached, for tests of the checks that judge it."""

from ipaddress import ip_address

from monitor.audit.check import Check
from monitor.audit.facts import Facts
from monitor.audit.findings import Finding, RuleRef, Severity, State, Zone
from monitor.audit.judging import judge
from monitor.audit.reach import Listener, Outcome, Probe, Protocol, Step, Verdict

V4, V6, POD = "203.0.113.10", "2001:db8:113::10", "10.244.0.5"
RULE = RuleRef(family="ip", table="filter", chain="INPUT", handle=7, text="tcp dport 1 accept")
NODEPORTS = RuleRef(family="ip", table="nat", chain="KUBE-NODEPORTS", handle=3)


def listener(port: int, process: str = "", address: str = "0.0.0.0", protocol: Protocol = "tcp") -> Listener:
    """Return a listener on all IPv4 addresses, unless another one is named."""
    return Listener(protocol=protocol, address=address, port=port, process=process, pid=1)


def verdict(
    port: int,
    outcome: Outcome = Outcome.REACHED,
    zone: Zone = Zone.WORLD,
    address: str = V4,
    *,
    to: str = "",
    by: RuleRef = RULE,
    protocol: Protocol = "tcp",
) -> Verdict:
    """Return what became of a probe; `to`, such as `10.0.0.1:80`, is where `by` translated it to."""
    to_address, _, to_port = to.rpartition(":")
    if to_address:
        assert ip_address(to_address)
    return Verdict(
        probe=Probe(zone=zone, protocol=protocol, address=address, port=port),
        outcome=outcome,
        to_address=to_address,
        to_port=int(to_port or 0),
        path=(Step(rule=by, verdict=f"dnat to {to}" if to else "accept"),),
        why="XDP program" if outcome is Outcome.UNKNOWN else "",
    )


def judged(check: Check, facts: Facts) -> list[Finding]:
    """Return what a check finds."""
    return list(judge([check], facts))


def lines(check: Check, facts: Facts) -> list[tuple[str, State, Severity]]:
    """Return subject, state and severity of what a check finds."""
    return [(finding.subject, finding.state, finding.severity) for finding in judged(check, facts)]
