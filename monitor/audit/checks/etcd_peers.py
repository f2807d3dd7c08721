"""Members of an etcd cluster do not prove to each other who they are."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, is_local, stated, urls
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth

_NAMES = (
    "listen-peer-urls",
    "peer-auto-tls",
    "peer-cert-file",
    "peer-client-cert-auth",
    "peer-key-file",
    "peer-trusted-ca-file",
)


@each(ProgramKind.ETCD, *_NAMES)
def _judge(check: Check, etcd: Program) -> Iterator[Finding]:
    listening = urls(etcd.value("listen-peer-urls"))
    faults = []
    if any(scheme == "http" for scheme, _ in listening):
        faults.append(stated(etcd, "listen-peer-urls"))
    if truth(etcd.value("peer-auto-tls")) is not False:
        faults.append(stated(etcd, "peer-auto-tls"))
    else:
        faults += [stated(etcd, name) for name in ("peer-cert-file", "peer-key-file") if not etcd.value(name)]
    if truth(etcd.value("peer-client-cert-auth")) is not True and not etcd.value("peer-trusted-ca-file"):
        faults.append(stated(etcd, "peer-client-cert-auth"))
    if faults:
        yield check.fail(
            etcd.subject,
            ", ".join(faults),
            severity=Severity.LOW if all(is_local(*one) for one in listening) else None,
            location=etcd.where("listen-peer-urls"),
        )


CHECK = Check(
    id="etcd-peers",
    title="Members of etcd ask each other for certificates",
    reason="A host that can speak as a member gets a copy of all data, and writes it.",
    severity=Severity.HIGH,
    remedy="Set --peer-cert-file, --peer-key-file, --peer-client-cert-auth=true and --peer-trusted-ca-file, and "
    "https:// URLs in --listen-peer-urls.",
    false_positives="A single member that listens for peers on loopback: the severity is low.",
    needs=(Part.HOST,),
    judge=_judge,
)
