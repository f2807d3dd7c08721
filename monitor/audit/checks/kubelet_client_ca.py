"""The kubelet cannot check certificates of clients."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind


@each(ProgramKind.KUBELET, "client-ca-file")
def _judge(check: Check, kubelet: Program) -> Iterator[Finding]:
    if not kubelet.value("client-ca-file"):
        yield check.fail(
            kubelet.subject,
            stated(kubelet, "client-ca-file"),
            location=kubelet.where("client-ca-file"),
            remedy=remedy(kubelet, "client-ca-file", "/etc/kubernetes/pki/ca.crt"),
        )


CHECK = Check(
    id="kubelet-client-ca",
    title="The kubelet checks certificates of clients",
    reason="Without an authority for clients, the API server cannot prove to the kubelet who it is.",
    severity=Severity.MEDIUM,
    remedy="Set authentication.x509.clientCAFile to the cluster's authority in the kubelet's configuration file.",
    false_positives="Clusters whose API server authenticates at kubelets with tokens only.",
    needs=(Part.HOST,),
    judge=_judge,
)
