"""NodePorts and host ports that the world can reach."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.exposure import Service, opened_by, services, show_origins
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone
from monitor.audit.translations import Translation, Translations


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    translations = Translations(facts)
    for service in services(facts.reach):
        if service.components or f"{Zone.WORLD} {service.subject}" in facts.baseline.open:
            continue
        found = translations.of(service)
        if found is not None and found.is_of_cluster:
            yield from _findings(check, service, found)


def _findings(check: Check, service: Service, found: Translation) -> Iterator[Finding]:
    if found.reached:
        text = f"port of the cluster ({service.owner}) can be reached from {show_origins(found.reached)}"
        if found.is_bypass:
            text += ", although the rules for the node itself drop this port"
        yield check.fail(
            service.subject,
            text,
            severity=Severity.MEDIUM if found.is_bypass else check.severity,
            zones=(Zone.WORLD,),
            rule=opened_by(found.reached[0]),
        )
    elif found.why_unknown:
        yield check.unknown(service.subject, f"port of the cluster ({service.owner}): {found.why_unknown}")


CHECK = Check(
    id="exposed-nodeport",
    title="No NodePort can be reached from the world",
    reason="A NodePort is open on every node, and its packets are forwarded: the chain `input` does not see them.",
    severity=Severity.INFO,
    remedy="Use `type: ClusterIP` where nobody outside needs the service, or drop its port before translation (raw).",
    false_positives="A NodePort is there to be reached: it is `medium` only where `input` would drop the port.",
    needs=(Part.REACH,),
    judge=_judge,
)
