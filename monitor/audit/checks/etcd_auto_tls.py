"""etcd makes its own certificates, which prove nothing."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth


@each(ProgramKind.ETCD, "auto-tls")
def _judge(check: Check, etcd: Program) -> Iterator[Finding]:
    if truth(etcd.value("auto-tls")) is not False:
        yield check.fail(
            etcd.subject,
            stated(etcd, "auto-tls"),
            location=etcd.where("auto-tls"),
            remedy=remedy(etcd, "auto-tls", "false"),
        )


CHECK = Check(
    id="etcd-auto-tls",
    title="etcd does not make certificates for itself",
    reason="A self-signed certificate hides what is sent from listeners, but not from a host in between.",
    severity=Severity.HIGH,
    remedy="Remove --auto-tls, and give etcd a certificate of the cluster's authority.",
    needs=(Part.HOST,),
    judge=_judge,
)
