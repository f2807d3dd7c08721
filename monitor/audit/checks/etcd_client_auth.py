"""etcd serves clients that do not prove who they are."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, is_local, stated, urls
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth


@each(ProgramKind.ETCD, "listen-client-urls", "client-cert-auth", "trusted-ca-file")
def _judge(check: Check, etcd: Program) -> Iterator[Finding]:
    listening = urls(etcd.value("listen-client-urls"))
    plain = [one for one in listening if one[0] == "http"]
    asks = truth(etcd.value("client-cert-auth")) is True or bool(etcd.value("trusted-ca-file"))
    if asks and not plain:
        return
    yield check.fail(
        etcd.subject,
        f"{stated(etcd, 'listen-client-urls')}, without TLS" if asks else stated(etcd, "client-cert-auth"),
        severity=Severity.MEDIUM if all(is_local(*one) for one in (plain if asks else listening)) else None,
        location=etcd.where("client-cert-auth"),
    )


CHECK = Check(
    id="etcd-client-auth",
    title="etcd asks clients for a certificate",
    reason="Every client that reaches the port reads and writes all objects of the cluster.",
    severity=Severity.CRITICAL,
    remedy="Set --client-cert-auth=true and --trusted-ca-file.",
    false_positives="etcd with users and passwords (`etcdctl auth enable`), which is not seen from outside.",
    needs=(Part.HOST,),
    judge=_judge,
)
