"""The node follows or sends ICMP redirects."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import both, combined, either, listed, number, outward, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Host
from monitor.audit.hosting.kernel_values import dotted

_ALL = "net.ipv4.conf.all.accept_redirects"


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    host = facts.host
    yield from unknown(check, facts, _ALL)
    names = outward(host)
    accepted = [name for name in names if _accepts_v4(host, name)]
    if accepted:
        yield check.fail("net.ipv4.conf.*.accept_redirects", f"redirects are followed on {listed(accepted)}")
    accepted = [name for name in names if _accepts_v6(host, name)]
    if accepted:
        yield check.fail("net.ipv6.conf.*.accept_redirects", f"IPv6 redirects are followed on {listed(accepted)}")
    sent = [name for name in names if _forwards(host, name) and combined(host, name, "send_redirects", either)]
    if sent:
        yield check.fail(
            "net.ipv4.conf.*.send_redirects", f"redirects are sent on {listed(sent)}", severity=Severity.INFO
        )


def _forwards(host: Host, name: str) -> bool:
    return bool(number(host, dotted("ipv4", name, "forwarding")))


def _accepts_v4(host: Host, name: str) -> bool:
    """Return whether redirects are followed: a router needs both values set, a host one (IN_DEV_RX_REDIRECTS)."""
    return bool(combined(host, name, "accept_redirects", both if _forwards(host, name) else either))


def _accepts_v6(host: Host, name: str) -> bool:
    """Return whether redirects are followed: by the interface's own values, and never by a router (rt6_do_redirect)."""
    values = (number(host, dotted("ipv6", name, one)) for one in ("accept_redirects", "forwarding", "disable_ipv6"))
    return tuple(map(bool, values)) == (True, False, False)


CHECK = Check(
    id="redirects",
    title="ICMP redirects are neither followed nor sent",
    reason="A neighbour that forges a redirect gets the packets of the node that go to one destination.",
    severity=Severity.LOW,
    remedy="Set accept_redirects and send_redirects to 0 for `all`, `default` and each interface, IPv4 and IPv6.",
    false_positives="Networks with several routers that depend on redirects.",
    needs=(Part.HOST,),
    judge=_judge,
)
