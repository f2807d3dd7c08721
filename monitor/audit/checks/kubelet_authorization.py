"""The kubelet does whatever an authenticated client asks."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind


@each(ProgramKind.KUBELET, "authorization-mode")
def _judge(check: Check, kubelet: Program) -> Iterator[Finding]:
    if kubelet.value("authorization-mode") == "AlwaysAllow":
        yield check.fail(
            kubelet.subject,
            stated(kubelet, "authorization-mode"),
            location=kubelet.where("authorization-mode"),
            remedy=remedy(kubelet, "authorization-mode", "Webhook"),
        )


CHECK = Check(
    id="kubelet-authorization",
    title="The kubelet asks the API server what a client may do",
    reason="With AlwaysAllow, every certificate of the cluster's authority may run commands in every container.",
    severity=Severity.CRITICAL,
    remedy="Set authorization.mode to Webhook in the kubelet's configuration file.",
    needs=(Part.HOST,),
    judge=_judge,
)
