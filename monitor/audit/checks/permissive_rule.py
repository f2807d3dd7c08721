"""A rule lets everybody reach a port of Kubernetes' control plane."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity, Zone
from monitor.audit.reach import Outcome, Verdict
from monitor.audit.rules.matches import Matches, matches
from monitor.audit.rules.values import V4, V6, Values
from monitor.audit.ruleset import SETTLED, Chain, Rule

CONTROL_PORTS = (2379, 2380, 6443, 10249, 10250, 10255, 10257, 10259)
"""etcd, API server, kube-proxy's metrics, kubelet, controller manager, scheduler. Not kube-proxy's health check 10256:
it is there for load balancers and answers nothing else."""
_OFTEN_WANTED = frozenset({6443})
_NEUTRAL = frozenset({"limit", "hashlimit", "connlimit", "quota", "mangle", "notrack"})
"""What is not understood of a rule, and does not narrow who may send."""
_MAX_CHAINS = 4096
_FEW = 64


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    for rule in _candidates(facts):
        ports = _ports(matches(rule))
        if not ports:
            continue
        tried = [one for one in facts.reach.verdicts if _asks(one, ports)]
        reached = sorted({one.probe.port for one in tried if one.outcome is Outcome.REACHED})
        unknown = next((one for one in tried if one.outcome is Outcome.UNKNOWN), None)
        if reached:
            yield check.fail(
                str(rule.ref),
                f"it accepts connections from anywhere, and the world reaches {_named(reached)}",
                severity=Severity.MEDIUM if _OFTEN_WANTED.issuperset(reached) else None,
                zones=(Zone.WORLD,),
                rule=rule.ref,
            )
        elif unknown:
            yield check.unknown(
                str(rule.ref), f"whether what it accepts is reached is unknown: {unknown.why or unknown.probe.port}"
            )
        elif (left := sorted(set(ports) - {one.probe.port for one in tried})) and _names_ports(matches(rule)):
            yield check.fail(
                str(rule.ref),
                f"it accepts connections from anywhere to {_named(left)}; nobody was found to listen there now",
                severity=Severity.MEDIUM,
                rule=rule.ref,
            )


def _asks(verdict: Verdict, ports: list[int]) -> bool:
    """Whether a verdict tells who reaches one of these ports: a port that nobody listens at refuses everybody."""
    probe = verdict.probe
    is_closed = verdict.outcome is Outcome.REJECTED and not verdict.path
    return probe.zone is Zone.WORLD and probe.protocol == "tcp" and probe.port in ports and not is_closed


def _candidates(facts: Facts) -> Iterator[Rule]:
    """Yield rules that accept from anywhere, in chains that packets from anywhere reach."""
    chains = {(one.family, one.table, one.name): one for one in facts.ruleset.chains}
    left = [one for one in facts.ruleset.chains if one.hook == "input" and one.type != "nat"]
    seen = {(one.family, one.table, one.name) for one in left}
    while left and len(seen) < _MAX_CHAINS:
        chain: Chain = left.pop()
        for rule in chain.rules:
            if not is_open(matches(rule), facts.host.uplinks):
                continue
            if rule.verdict == "accept" and rule.author in SETTLED:
                yield rule
            key = (chain.family, chain.table, rule.target)
            if key in chains and key not in seen:
                seen.add(key)
                left.append(chains[key])


def is_open(found: Matches, uplinks: tuple[str, ...]) -> bool:
    """Whether new connections from anywhere match, as far as sources and interfaces go."""
    if found.unread - _NEUTRAL:
        return False
    for field, values in found.needed.items():
        if field in ("ip saddr", "ip6 saddr"):
            if not _is_most(values, V4 if field == "ip saddr" else V6):
                return False
        elif field in ("iifname", "iif"):
            if not (any(map(values.holds, uplinks)) if uplinks else values.is_negated):
                return False
        elif field == "ct state":
            if not values.holds("new"):
                return False
        elif field in ("pkttype", "oifname", "oif", "th sport") or field.startswith("meta mark"):
            return False
    return True


def _is_most(values: Values, highest: int) -> bool:
    return sum(last - first + 1 for first, last in values.intervals or ()) > highest // 2


def _ports(found: Matches) -> list[int]:
    """Return the control ports that a rule for TCP matches; none for one that names neither protocol nor port."""
    protocol, port = found.needed.get("l4proto"), found.needed.get("th dport")
    if (protocol is None and port is None) or (protocol is not None and not protocol.holds("tcp")):
        return []
    return [one for one in CONTROL_PORTS if port is None or port.holds(one)]


def _names_ports(found: Matches) -> bool:
    """Whether a rule is about few ports: a wide one says nothing of a port that nobody listens at."""
    ports = found.needed.get("th dport")
    return ports is not None and sum(last - first + 1 for first, last in ports.intervals or ()) <= _FEW


def _named(ports: list[int]) -> str:
    return ", ".join(f"tcp/{port}" for port in ports)


CHECK = Check(
    id="permissive-rule",
    title="No rule opens ports of the control plane to everybody",
    reason="etcd, kubelet and the control plane are for the cluster: a rule without sources opens them to the world.",
    severity=Severity.HIGH,
    remedy="Name the sources in the rule: the networks of the nodes and of the administrators.",
    false_positives="A rule before this one, or a firewall in front of the node, may drop what it accepts. The API"
    " server is often meant to be reached.",
    needs=(Part.RULESET,),
    judge=_judge,
)
