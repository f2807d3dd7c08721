"""Whatever else the world can reach, unless the baseline accepts it."""

from collections.abc import Iterator

import msgspec

from monitor.audit.check import Check
from monitor.audit.exposure import Service, exposed, services
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone
from monitor.audit.translations import Translations


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    translations = Translations(facts)
    for service in services(facts.reach):
        if not service.components and f"{Zone.WORLD} {service.subject}" not in facts.baseline.open:
            yield from exposed(check, _rest(service, translations), "service", Zone.WORLD)


def _rest(service: Service, translations: Translations) -> Service:
    """Return a service without what `exposed-nodeport` and `forward-bypass` report."""
    found = translations.of(service)
    if found is None or not (found.is_of_cluster or found.is_bypass):
        return service
    verdicts = tuple(verdict for verdict in service.verdicts if not translations.leaves(verdict))
    return msgspec.structs.replace(service, verdicts=verdicts)


CHECK = Check(
    id="exposed-other",
    title="The world can reach nothing that the baseline does not accept",
    reason="Each open port is a way in: know them all, and accept them by name.",
    severity=Severity.MEDIUM,
    remedy="Close it, or accept it: `nodewarden audit --write-baseline FILE`.",
    false_positives="All that is meant to be open, until a baseline accepts it.",
    needs=(Part.REACH,),
    judge=_judge,
)
