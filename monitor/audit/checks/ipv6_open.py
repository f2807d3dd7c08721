"""Ports that are filtered over IPv4 and open over IPv6."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.exposure import Service, services
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone
from monitor.audit.reach import Outcome, Verdict

_CLOSED = (Outcome.DROPPED, Outcome.REJECTED)


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    unknown: dict[str, str] = {}
    for service in services(facts.reach):
        found: list[Verdict] = []
        for zone in Zone:
            v4, v6 = (_tried(service, zone, is_v6=is_v6) for is_v6 in (False, True))
            if not v4 or not v6 or any(one.outcome is Outcome.REACHED for one in v4):
                continue
            if why := next((one.why or "no answer" for one in (*v4, *v6) if one.outcome is Outcome.UNKNOWN), ""):
                unknown.setdefault(service.subject, why)
            elif all(one.outcome in _CLOSED for one in v4):
                found += (one for one in v6 if one.outcome is Outcome.REACHED)
        if found:
            zones = tuple(zone for zone in Zone if any(one.probe.zone is zone for one in found))
            text = f"{service.owner}: closed over IPv4 and open over IPv6 from {', '.join(zones)}"
            yield check.fail(service.subject, text, zones=zones, rule=found[0].decided_by)
            unknown.pop(service.subject, None)
    if unknown:
        subject, why = next(iter(unknown.items()))
        yield check.unknown("", f"{len(unknown)} ports cannot be compared, such as {subject}: {why}")


def _tried(service: Service, zone: Zone, *, is_v6: bool) -> list[Verdict]:
    """Return what rules decided; an address where nothing listens is answered by nobody's rule."""
    return [
        one
        for one in service.verdicts
        if one.probe.zone is zone and one.probe.is_v6 is is_v6 and (one.path or one.outcome is not Outcome.REJECTED)
    ]


CHECK = Check(
    id="ipv6-open",
    title="What is filtered over IPv4 is filtered over IPv6",
    reason="Rules of `iptables` and of tables `ip` do not see IPv6: the same service is open at the other address.",
    severity=Severity.HIGH,
    remedy="Use a table of the family `inet`, or give `ip6` the same rules.",
    false_positives="A node whose IPv6 addresses nobody can route to.",
    needs=(Part.REACH,),
    judge=_judge,
)
