"""etcd listens on addresses that nobody chose."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, is_local, stated, urls
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind

_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - what is looked for


@each(ProgramKind.ETCD, "listen-client-urls", "listen-peer-urls", "listen-metrics-urls")
def _judge(check: Check, etcd: Program) -> Iterator[Finding]:
    names = ("listen-client-urls", "listen-peer-urls")
    faults = [
        stated(etcd, name)
        for name in names
        if any(host in _ANY and scheme in ("http", "https") for scheme, host in urls(etcd.value(name)))
    ]
    open_metrics = [one for one in urls(etcd.value("listen-metrics-urls")) if one[0] == "http" and not is_local(*one)]
    if open_metrics:
        faults.append(stated(etcd, "listen-metrics-urls"))
    if faults:
        yield check.fail(etcd.subject, ", ".join(faults), location=etcd.where("listen-client-urls"))


CHECK = Check(
    id="etcd-listen",
    title="etcd listens on chosen addresses",
    reason="On all addresses, etcd is also on networks that are added later. Metrics name members and loads.",
    severity=Severity.MEDIUM,
    remedy="Name loopback and the address for members in --listen-client-urls and --listen-peer-urls; keep "
    "--listen-metrics-urls on loopback.",
    false_positives="Firewalls that let only members in: what is reached from outside says exposed-etcd.",
    needs=(Part.HOST,),
    judge=_judge,
)
