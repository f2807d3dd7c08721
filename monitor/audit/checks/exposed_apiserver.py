"""The API server is open to the world."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.components import Component
from monitor.audit.exposure import exposed, services
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    for service in services(facts.reach):
        if Component.APISERVER in service.components:
            yield from exposed(check, service, "API server", Zone.WORLD)


CHECK = Check(
    id="exposed-apiserver",
    title="The API server cannot be reached from the world",
    reason="A fault in its authentication, or a leaked credential, is then within everybody's reach.",
    severity=Severity.MEDIUM,
    remedy="Accept 6443 from nodes and administrators only, or put it behind a VPN.",
    false_positives="Often it is meant to be reached: suppress this, with the reason.",
    needs=(Part.REACH,),
    judge=_judge,
)
