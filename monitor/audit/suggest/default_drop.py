"""Last chains that drop what nobody named, with all that is open now accepted by name.

A chain that accepts only passes a packet on to the next one, so these open nothing that another chain drops. They come
after all usual filters.
"""

from collections.abc import Iterator, Sequence

from monitor.audit.facts import Part
from monitor.audit.findings import Finding
from monitor.audit.reach import Outcome
from monitor.audit.suggest.suggestion import Form, Known, Suggestion, as_set, subjects
from monitor.model.addresses import Network

TABLE = "audit_default"
_ALWAYS = (
    'iifname "lo" accept',
    "ct state established,related accept",
    "meta l4proto { icmp, icmpv6 } accept",  # names that nft knows without /etc/protocols
    "udp dport { 68, 546 } accept  # answers of DHCP",
)


def drop_the_rest(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest chains with the policy drop, for the hooks that findings are about."""
    inputs = [one for one in findings if not _is_forward(one)]
    forwards = [one for one in findings if _is_forward(one)]
    if inputs:
        yield _input(inputs, known)
    if forwards:
        yield _forward(forwards, known)


def _is_forward(finding: Finding) -> bool:
    return finding.subject.startswith("forward")


def _input(findings: Sequence[Finding], known: Known) -> Suggestion:
    if Part.REACH in known.facts.lacks:
        return Suggestion(
            check=findings[0].check,
            subjects=subjects(findings),
            form=Form.ADVICE,
            text="Give the input chain the policy drop, after rules for what must be open. Which ports are open now is "
            f"not known ({known.facts.lacks[Part.REACH]}), so no rules are proposed.",
        )
    return _chain(
        "input",
        findings,
        [*_ALWAYS, *_open_ports(known), *_from(known.networks.uplink + known.networks.inside)],
        "what is open now stays open, listed by port; services that start later, and protocols other than TCP, UDP and "
        "ICMP from outside the networks named here, such as VPN, tunnels and routing protocols, are cut off unless you "
        "add them",
    )


def _forward(findings: Sequence[Finding], known: Known) -> Suggestion:
    return _chain(
        "forward",
        findings,
        ["ct state established,related accept", "ct status dnat accept", *_from(known.networks.inside)],
        "published ports, and what hosts behind this node open, pass; connections from elsewhere straight to them, "
        "as between nodes of a cluster or networks of a router, are cut off unless you add their networks",
    )


def _chain(hook: str, findings: Sequence[Finding], lines: Sequence[str], warning: str) -> Suggestion:
    return Suggestion(
        check=findings[0].check,
        subjects=subjects(findings),
        form=Form.NFT,
        text=f"table inet {TABLE} {{\n    chain {hook} {{\n        type filter hook {hook} priority 20; policy drop;\n"
        + "".join(f"        {line}\n" for line in lines)
        + "    }\n}",
        target="nft -f",
        warning=warning,
    )


def _open_ports(known: Known) -> Iterator[str]:
    reached = {
        (one.probe.protocol, one.probe.port)
        for one in known.facts.reach.verdicts
        if one.outcome is not Outcome.DROPPED and one.outcome is not Outcome.REJECTED and not one.to_address
    }
    for protocol in ("tcp", "udp"):
        if ports := sorted(port for kind, port in reached if kind == protocol):
            yield f"{protocol} dport {{ {', '.join(map(str, ports))} }} accept"


def _from(networks: Sequence[Network]) -> Iterator[str]:
    for size, word in ((4, "ip"), (16, "ip6")):
        if some := as_set(networks, size):
            yield f"{word} saddr {some} accept"
