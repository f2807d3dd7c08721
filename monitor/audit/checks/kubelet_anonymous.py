"""The kubelet answers requests of nobody in particular."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth


@each(ProgramKind.KUBELET, "anonymous-auth", "authorization-mode")
def _judge(check: Check, kubelet: Program) -> Iterator[Finding]:
    if truth(kubelet.value("anonymous-auth")) is not False:
        is_open = kubelet.value("authorization-mode") == "AlwaysAllow"
        yield check.fail(
            kubelet.subject,
            f"{stated(kubelet, 'anonymous-auth')}, and {stated(kubelet, 'authorization-mode')}",
            severity=Severity.CRITICAL if is_open else Severity.HIGH,
            location=kubelet.where("anonymous-auth"),
            remedy=remedy(kubelet, "anonymous-auth", "false"),
        )


CHECK = Check(
    id="kubelet-anonymous",
    title="The kubelet refuses anonymous requests",
    reason="The kubelet's API runs commands in any container of the node. Without authentication, and with "
    "authorization AlwaysAllow, every client that reaches the port is root on the node.",
    severity=Severity.CRITICAL,
    remedy="Set authentication.anonymous.enabled to false in the kubelet's configuration file.",
    false_positives="With authorization Webhook, anonymous requests get what RBAC gives to system:anonymous.",
    needs=(Part.HOST,),
    judge=_judge,
)
