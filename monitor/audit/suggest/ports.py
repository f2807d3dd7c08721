"""Closes ports: rules in a table of the operator's own, which drop before any translation and any other filter.

A drop is final in whatever chain it is, so these rules close what they name however the rest of the firewall is
written, and by whatever program; and since nothing in them accepts, they open nothing. They match new connections to
addresses of the node itself, so what passes through the node, and what is open already, stays.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from monitor.audit.findings import Finding, Zone
from monitor.audit.suggest.suggestion import Form, Known, Neighbourhood, Suggestion, as_set, subjects
from monitor.model.addresses import Network, collapse

TABLE = "audit_closed"
_SUBJECT = re.compile(r"(tcp|udp)/([1-9][0-9]{0,4})")
_HEAD = f"""table inet {TABLE} {{
    chain before_translation {{
        type filter hook prerouting priority -145; policy accept;
"""
_FOOT = "    }\n}"
_MATCH = 'iifname != "lo" fib daddr type local ct state new,untracked'
_SSH = "this closes the port of sshd: the lines are commented out, so that nobody locks himself out"
_FAMILIES = ((4, "ip", "ipv4"), (16, "ip6", "ipv6"))


def close_ports(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest rules for findings about ports; IPv4 and IPv6."""
    yield from _close(findings, known, _FAMILIES)


def close_ipv6(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest rules for findings about ports that are open over IPv6 only."""
    yield from _close(findings, known, _FAMILIES[1:])


def _close(findings: Sequence[Finding], known: Known, families: Sequence[tuple[int, str, str]]) -> Iterator[Suggestion]:
    by_zones = sorted(findings, key=_zones)
    for zones, group in groupby(by_zones, key=_zones):
        found = [one for one in group if _SUBJECT.fullmatch(one.subject) and one.zones]
        for is_ssh, some in groupby(
            sorted(found, key=lambda one: _is_ssh(one, known)), lambda one: _is_ssh(one, known)
        ):
            closed = list(some)
            allowed = _allowed(zones, known.networks)
            lines = _lines(closed, allowed, families, closed[0].check)
            mark = "# " if is_ssh else ""
            yield Suggestion(
                check=closed[0].check,
                subjects=subjects(closed),
                form=Form.NFT,
                text=_HEAD + "".join(f"        {mark}{line}\n" for line in lines) + _FOOT,
                target="nft -f",
                warning="; ".join(filter(None, (_SSH if is_ssh else "", _warning(zones, allowed, known)))),
            )


def _zones(finding: Finding) -> tuple[str, ...]:
    return tuple(sorted(finding.zones))


def _is_ssh(finding: Finding, known: Known) -> bool:
    """Whether administrators may come in by this port."""
    _, port = _port(finding)
    listeners = known.facts.reach.listeners
    return port == 22 or any(one.port == port and one.process.startswith("sshd") for one in listeners)


def _port(finding: Finding) -> tuple[str, int]:
    protocol, _, port = finding.subject.partition("/")
    return protocol, int(port)


def _allowed(zones: Sequence[str], networks: Neighbourhood) -> tuple[Network, ...]:
    """Return whom the rules let through: the zones that the finding does not name."""
    allowed = () if Zone.NODES in zones else networks.uplink
    return allowed if Zone.PODS in zones else allowed + networks.inside


def _lines(
    findings: Sequence[Finding], allowed: Sequence[Network], families: Sequence[tuple[int, str, str]], check: str
) -> Iterator[str]:
    ports: dict[str, set[int]] = {}
    for finding in findings:
        protocol, port = _port(finding)
        ports.setdefault(protocol, set()).add(port)
    for protocol, numbers in sorted(ports.items()):
        written = ", ".join(map(str, sorted(numbers)))
        for size, word, name in families:
            some = as_set(allowed, size)
            source = f"{word} saddr != {some}" if some else f"meta nfproto {name}"
            yield f'{_MATCH} {source} {protocol} dport {{ {written} }} counter drop comment "{check}"'


def _warning(zones: Sequence[str], allowed: Sequence[Network], known: Known) -> str:
    shown = ", ".join(map(str, collapse(allowed)))
    texts = [
        f"only {shown} and the node itself can open connections then" if allowed else "only the node itself can use it",
        known.networks.lack and f"the networks around the node are not known: {known.networks.lack}",
        "add the addresses of administrators and of members elsewhere to the networks before you load it",
    ]
    if Zone.NODES not in zones and known.networks.uplink:
        texts.append("all hosts of these networks count as neighbours, strangers with an address there as well")
    if blind := known.facts.reach.blind:
        texts.append(f"it cannot close what passes by nftables: {', '.join(blind)[:512]}")
    return "; ".join(filter(None, texts))
