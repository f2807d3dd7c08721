"""etcd serves clients without TLS."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, is_local, stated, urls
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth


@each(ProgramKind.ETCD, "listen-client-urls", "cert-file", "key-file", "auto-tls")
def _judge(check: Check, etcd: Program) -> Iterator[Finding]:
    listening = urls(etcd.value("listen-client-urls"))
    plain = [one for one in listening if one[0] == "http"]
    has_certificate = bool(etcd.value("cert-file") and etcd.value("key-file")) or truth(etcd.value("auto-tls")) is True
    if not plain and has_certificate:
        return
    yield check.fail(
        etcd.subject,
        stated(etcd, "listen-client-urls") if plain else f"{stated(etcd, 'cert-file')}, {stated(etcd, 'key-file')}",
        severity=Severity.MEDIUM if all(is_local(*one) for one in plain or listening) else None,
        location=etcd.where("listen-client-urls"),
    )


CHECK = Check(
    id="etcd-tls",
    title="etcd serves clients with TLS only",
    reason="etcd holds all secrets of the cluster, and who writes to it is the cluster's administrator.",
    severity=Severity.CRITICAL,
    remedy="Set --cert-file and --key-file, and https:// URLs in --listen-client-urls: with http:// etcd ignores both.",
    false_positives="An etcd of another application that holds no secrets. On loopback only, the severity is medium.",
    needs=(Part.HOST,),
    judge=_judge,
)
