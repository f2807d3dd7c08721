"""The metrics of kube-proxy are not on loopback."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.components import Component
from monitor.audit.exposure import beyond_loopback
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    yield from beyond_loopback(check, facts.reach, Component.PROXY)


CHECK = Check(
    id="exposed-proxy",
    title="The metrics of kube-proxy are on loopback",
    reason="They show the configuration and profiles of kube-proxy without authentication.",
    severity=Severity.MEDIUM,
    remedy="Set `metricsBindAddress: 127.0.0.1:10249` in the configuration of kube-proxy.",
    false_positives="Prometheus may read them over the network: then accept its address only, and suppress this.",
    needs=(Part.REACH,),
    judge=_judge,
)
