"""The node and its pods may connect to anywhere."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    if not facts.own.egress_approved:
        yield check.fail("egress.approved", "egress.approved is empty: connections to any destination count as normal")


CHECK = Check(
    id="egress-open",
    title="Destinations of the node and its pods are named",
    reason="Who breaks into a pod opens connections out: to fetch tools, to report, to take data away.",
    severity=Severity.INFO,
    remedy="Name the destinations that are needed in egress.approved; `nodewarden audit suggest` proposes them.",
    false_positives="Nodes whose outgoing connections a firewall or NetworkPolicies limit.",
    needs=(Part.OWN,),
    judge=_judge,
)
