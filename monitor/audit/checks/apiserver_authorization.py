"""The API server does not ask RBAC and the node authorizer."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import parts


@each(ProgramKind.APISERVER, "authorization-mode")
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    modes = parts(server.value("authorization-mode"))
    is_open = "AlwaysAllow" in modes
    if is_open or not {"Node", "RBAC"}.issubset(modes):
        yield check.fail(
            server.subject,
            stated(server, "authorization-mode"),
            severity=Severity.CRITICAL if is_open else Severity.HIGH,
            location=server.where("authorization-mode"),
            remedy=remedy(server, "authorization-mode", "Node,RBAC"),
        )


CHECK = Check(
    id="apiserver-authorization",
    title="The API server authorizes requests by Node and RBAC",
    reason="With AlwaysAllow every client may do everything. Without Node, kubelets need rights on all secrets.",
    severity=Severity.HIGH,
    remedy="Set --authorization-mode=Node,RBAC.",
    false_positives="An authorization webhook in place of RBAC.",
    needs=(Part.HOST,),
    judge=_judge,
)
