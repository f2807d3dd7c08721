"""The table of connections is nearly full."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import number
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity

_COUNT, _MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
_FULL, _NEARLY = 0.95, 0.8


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    count, most = number(facts.host, _COUNT), number(facts.host, _MAX)
    if count is None and most is None:
        yield check.passed("connections are not tracked")
    elif count is None or most is None:
        yield check.unknown(_COUNT, f"{_COUNT} or {_MAX} cannot be read")
    elif most and count >= most * _NEARLY:
        severity = Severity.HIGH if count >= most * _FULL else None
        yield check.fail(_COUNT, f"{count} of {most} connections are in the table", severity=severity)


CHECK = Check(
    id="conntrack-full",
    title="The table of connections has room",
    reason="When it is full, the kernel drops the packets of new connections, of clients and attackers alike.",
    severity=Severity.MEDIUM,
    remedy="Raise net.netfilter.nf_conntrack_max, and find out what opens all these connections: `nodewarden top`.",
    needs=(Part.HOST,),
    judge=_judge,
)
