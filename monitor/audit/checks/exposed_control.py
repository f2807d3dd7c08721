"""The controller manager or the scheduler listens beyond loopback."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.components import Component
from monitor.audit.exposure import beyond_loopback
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    yield from beyond_loopback(check, facts.reach, Component.CONTROL)


CHECK = Check(
    id="exposed-control",
    title="Controller manager and scheduler listen on loopback",
    reason="Only local health checks need them; their profiles and metrics describe the cluster to an attacker.",
    severity=Severity.HIGH,
    remedy="Start both with `--bind-address=127.0.0.1`.",
    needs=(Part.REACH,),
    judge=_judge,
)
