"""The kubelet's API is open to the world."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.components import Component
from monitor.audit.exposure import exposed, services
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    for service in services(facts.reach):
        if Component.KUBELET in service.components:
            yield from exposed(check, service, "kubelet", Zone.WORLD)


CHECK = Check(
    id="exposed-kubelet",
    title="The kubelet cannot be reached from the world",
    reason="Its API runs commands in every pod of the node; the read-only port (10255) shows all pods to anyone.",
    severity=Severity.CRITICAL,
    remedy="Accept 10250 from API servers and metrics collectors only; set `readOnlyPort: 0`.",
    false_positives="The API servers of a managed cloud may come from the world: accept their addresses, and no other.",
    needs=(Part.REACH,),
    judge=_judge,
)
