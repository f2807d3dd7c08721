"""The API server talks to etcd without TLS, or without proof of who it is."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, is_local, stated, urls
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind

_FILES = ("etcd-cafile", "etcd-certfile", "etcd-keyfile")


@each(ProgramKind.APISERVER, "etcd-servers", *_FILES)
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    servers = urls(server.value("etcd-servers"))
    if servers and all(scheme in ("unix", "unixs") for scheme, _ in servers):
        return
    faults = [stated(server, name) for name in _FILES if not server.value(name)]
    if any(scheme == "http" for scheme, _ in servers):
        faults.insert(0, stated(server, "etcd-servers"))
    if faults:
        yield check.fail(
            server.subject,
            ", ".join(faults),
            severity=Severity.MEDIUM if servers and all(is_local(*one) for one in servers) else None,
            location=server.where("etcd-servers"),
        )


CHECK = Check(
    id="apiserver-etcd-tls",
    title="The API server and etcd prove to each other who they are",
    reason="etcd holds all secrets of the cluster. Without TLS they pass in clear; without a certificate of the API "
    "server, etcd has to answer every client.",
    severity=Severity.HIGH,
    remedy="Set --etcd-servers to https:// URLs, and --etcd-cafile, --etcd-certfile and --etcd-keyfile.",
    false_positives="etcd on a socket of the same host, as with kine.",
    needs=(Part.HOST,),
    judge=_judge,
)
