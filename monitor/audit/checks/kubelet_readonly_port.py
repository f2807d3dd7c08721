"""The kubelet serves a port without authentication."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind


@each(ProgramKind.KUBELET, "read-only-port")
def _judge(check: Check, kubelet: Program) -> Iterator[Finding]:
    if kubelet.value("read-only-port") not in ("0", ""):
        yield check.fail(
            kubelet.subject,
            stated(kubelet, "read-only-port"),
            location=kubelet.where("read-only-port"),
            remedy=remedy(kubelet, "read-only-port", "0"),
        )


CHECK = Check(
    id="kubelet-readonly-port",
    title="The kubelet has no port without authentication",
    reason="The read-only port lists all pods of the node, with their environment, to every client that reaches it.",
    severity=Severity.HIGH,
    remedy="Set readOnlyPort to 0 in the kubelet's configuration file.",
    false_positives="Managed clouds whose monitoring reads it, behind a firewall.",
    needs=(Part.HOST,),
    judge=_judge,
)
