"""Packets with forged source addresses are taken in."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import combined, listed, outward, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity

_ALL = "net.ipv4.conf.all.rp_filter"


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    missing = list(unknown(check, facts, _ALL))
    yield from missing
    names = [name for name in outward(facts.host) if combined(facts.host, name, "rp_filter", max) == 0]
    if names and not missing:
        yield check.fail("net.ipv4.conf.*.rp_filter", f"the source address is not checked on {listed(names)}")


CHECK = Check(
    id="rp-filter",
    title="Source addresses are checked on the way in",
    reason="Without reverse path filtering a neighbour sends packets in the name of any address, of pods as well.",
    severity=Severity.LOW,
    remedy="Set net.ipv4.conf.all.rp_filter to 2 (loose), or to 1 (strict) where routes are symmetric: the larger "
    "value of `all` and the interface is in force.",
    false_positives="Firewalls that check with `fib saddr`; asymmetric routes need 2; some CNIs need 0 on their own "
    "interfaces, which are not judged: only those with a default route are.",
    needs=(Part.HOST,),
    judge=_judge,
)
