"""Published ports of containers that pass by a firewall which drops them."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.exposure import opened_by, services, show_origins
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone
from monitor.audit.reach import Outcome
from monitor.audit.translations import Translations


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    translations = Translations(facts)
    for service in services(facts.reach):
        found = translations.of(service)
        if found is None or found.is_of_cluster:
            continue
        if found.reached and found.is_bypass:
            text = f"{service.owner} by {found.author}: {show_origins(found.reached)} can reach it"
            text += ", although the rules for the node itself drop this port"
            rule = opened_by(found.reached[0])
            yield check.fail(service.subject, text, zones=(Zone.WORLD,), rule=rule)
        elif found.reached and found.without is Outcome.UNKNOWN:
            yield check.unknown(service.subject, f"{service.owner}: what `input` says about this port is not known")
        elif not found.reached and found.why_unknown:
            yield check.unknown(service.subject, f"{service.owner}: {found.why_unknown}")


CHECK = Check(
    id="forward-bypass",
    title="No published port of a container passes by the firewall of the node",
    reason="Docker and others translate a published port before `input` sees it: a firewall that denies it has no say.",
    severity=Severity.HIGH,
    remedy="Publish it on loopback (`127.0.0.1:8080:80`), or drop it in DOCKER-USER or before translation (raw).",
    false_positives="A port that you publish on purpose: accept it in `input` as well, so that both agree.",
    needs=(Part.REACH,),
    judge=_judge,
)
