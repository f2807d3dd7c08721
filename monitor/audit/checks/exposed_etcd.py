"""The database of the cluster is open to others than its members."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.components import Component
from monitor.audit.exposure import exposed, services
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    for service in services(facts.reach):
        if Component.ETCD in service.components:
            yield from exposed(check, service, "etcd", Zone.WORLD, Zone.PODS)


CHECK = Check(
    id="exposed-etcd",
    title="etcd cannot be reached from the world or from pods",
    reason="etcd holds every secret of the cluster, and access to it is equal to root on every node.",
    severity=Severity.CRITICAL,
    remedy="Accept its ports (2379, 2380) from the other members and the API servers only, or listen on loopback.",
    false_positives="Members of other networks come from the world: accept their addresses, and no other.",
    needs=(Part.REACH,),
    judge=_judge,
)
