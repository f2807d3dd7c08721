"""The API server cannot check certificates of clients."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind


@each(ProgramKind.APISERVER, "client-ca-file")
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    if not server.value("client-ca-file"):
        yield check.fail(
            server.subject,
            stated(server, "client-ca-file"),
            location=server.where("client-ca-file"),
            remedy=remedy(server, "client-ca-file", "/etc/kubernetes/pki/ca.crt"),
        )


CHECK = Check(
    id="apiserver-client-ca",
    title="The API server checks certificates of clients",
    reason="Kubelets and the control plane prove who they are by certificates; without an authority for them, only "
    "tokens are left, which can be stolen and sent by anyone.",
    severity=Severity.HIGH,
    remedy="Set --client-ca-file to the cluster's authority.",
    needs=(Part.HOST,),
    judge=_judge,
)
