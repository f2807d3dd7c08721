"""A last input chain that drops what nobody named, with all that is open now accepted by name."""

from collections.abc import Iterator, Sequence

from monitor.audit.facts import Part
from monitor.audit.findings import Finding
from monitor.audit.reach import Outcome
from monitor.audit.suggest.suggestion import Form, Known, Suggestion, as_set, subjects

TABLE = "audit_default"
_ALWAYS = (
    'iifname "lo" accept',
    "ct state established,related accept",
    "meta l4proto { icmp, ipv6-icmp } accept",
    "udp dport { 68, 546 } accept  # answers of DHCP",
)


def drop_the_rest(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest a chain of the last priority with the policy drop.

    A chain that accepts only passes a packet on to the next one, so it opens nothing that another chain drops.
    """
    if Part.REACH in known.facts.lacks:
        yield Suggestion(
            check=findings[0].check,
            subjects=subjects(findings),
            form=Form.ADVICE,
            text="Give the input chain the policy drop, after rules for what must be open. Which ports are open now is "
            f"not known ({known.facts.lacks[Part.REACH]}), so no rules are proposed.",
        )
        return
    lines = [*_ALWAYS, *_open_ports(known), *_neighbours(known)]
    yield Suggestion(
        check=findings[0].check,
        subjects=subjects(findings),
        form=Form.NFT,
        text=f"table inet {TABLE} {{\n    chain input {{\n        type filter hook input priority 20; policy drop;\n"
        + "".join(f"        {line}\n" for line in lines)
        + "    }\n}",
        target="nft -f",
        warning="what is open now stays open, listed by port; services that start later, and protocols other than TCP, "
        "UDP and ICMP from outside the networks named here, such as VPN, tunnels and routing protocols, are cut off "
        "unless you add them",
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


def _neighbours(known: Known) -> Iterator[str]:
    networks = known.networks.uplink + known.networks.inside
    for size, word in ((4, "ip"), (16, "ip6")):
        if some := as_set(networks, size):
            yield f"{word} saddr {some} accept"
