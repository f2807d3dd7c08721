"""Reports and checks that tests write down."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity, State, Zone
from monitor.audit.report import Report, arrange

NOW_S = 1_764_300_000.0


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    yield check.fail(f"at {facts.time_s}", "it is open")


def check(name: str, severity: Severity = Severity.HIGH) -> Check:
    """Return a check."""
    return Check(
        id=name,
        title=f"Title of {name}",
        reason="Because.",
        severity=severity,
        remedy="Close it.",
        false_positives="it is wanted.",
        needs=(Part.REACH,),
        judge=_judge,
    )


CHECKS = {one.id: one for one in (check("exposed-etcd", Severity.CRITICAL), check("redirects", Severity.LOW))}
RULE = RuleRef(family="ip", table="filter", chain="INPUT", handle=4, text='tcp dport 2379 counter accept comment "a b"')


def finding(
    name: str = "exposed-etcd", subject: str = "tcp/2379", state: State = State.FAIL, **more: object
) -> Finding:
    """Return a finding."""
    fields = {"severity": Severity.CRITICAL, "text": "etcd answers"} | more
    return Finding(check=name, subject=subject, state=state, **fields)  # type: ignore[arg-type]


def report(*findings: Finding, **more: object) -> Report:
    """Return a report with these findings."""
    fields = {"node": "node1", "time_s": NOW_S, "took_s": 0.4, "versions": {"nodewarden": "1.2"}} | more
    return Report(findings=arrange(findings), **fields)  # type: ignore[arg-type]


def everything() -> Report:
    """Return a report with a finding in each state."""
    return report(
        finding(zones=(Zone.WORLD, Zone.PODS), rule=RULE),
        finding("redirects", "net.ipv4.conf.all.send_redirects", State.UNKNOWN, severity=Severity.LOW, text="no /proc"),
        finding(
            "redirects",
            "net.ipv4.conf.eth0.send_redirects",
            State.SUPPRESSED,
            severity=Severity.LOW,
            suppressed_for="a router",
            suppressed_until_s=NOW_S + 86400,
        ),
        finding("redirects", "", State.PASS, severity=Severity.LOW, text="Title of redirects"),
        finding("exposed-etcd", "tcp/2380", location="/etc/kubernetes/manifests/etcd main.yaml", remedy="Edit it."),
        lacks={"host": "no /proc"},
        blind=("an XDP program on eth0",),
    )
