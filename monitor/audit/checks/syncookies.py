"""A SYN flood fills the queue of connection attempts."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import number, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity

_NAME = "net.ipv4.tcp_syncookies"


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    yield from unknown(check, facts, _NAME)
    if number(facts.host, _NAME) == 0:
        yield check.fail(_NAME, "TCP answers no connection attempts once a flood has filled the queue")


CHECK = Check(
    id="syncookies",
    title="TCP uses SYN cookies in a flood",
    reason="With forged sources a few thousand packets a second keep all others out.",
    severity=Severity.MEDIUM,
    remedy="Set net.ipv4.tcp_syncookies to 1 in /etc/sysctl.d.",
    needs=(Part.HOST,),
    judge=_judge,
)
