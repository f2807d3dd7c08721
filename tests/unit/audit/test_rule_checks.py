"""Checks of the rules as they are written: what each finds in rulesets, and what it leaves alone."""

from typing import Any

import msgspec
import pytest

from monitor.audit.baseline import Baseline
from monitor.audit.baselines import make_baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import RuleRef, Severity, State, Zone
from monitor.audit.host import Host
from monitor.audit.judging import judge
from monitor.audit.own import Own
from monitor.audit.reach import Outcome, Probe, Reach, Step, Verdict
from monitor.audit.registry import BY_ID
from monitor.audit.rules.parse import parse_ruleset
from monitor.audit.ruleset import Persistence, Ruleset
from monitor.model.problems import ProblemKind
from tests.unit.audit.test_parse import chain, rule, ruleset

_ACCEPT, _DROP, _RETURN = {"accept": None}, {"drop": None}, {"return": None}
_DAY_S = 86_400.0
_NOW_S = 1_800_000_000.0


def port(number: Any, protocol: str = "tcp") -> dict[str, Any]:
    left = {"payload": {"protocol": protocol, "field": "dport"}}
    return {"match": {"op": "==", "left": left, "right": number}}


def meta(key: str, value: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"meta": {"key": key}}, "right": value}}


def source(address: str) -> dict[str, Any]:
    left = {"payload": {"protocol": "ip", "field": "saddr"}}
    return {"match": {"op": "==", "left": left, "right": address}}


def vmap(key: dict[str, Any], *elements: list[Any]) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": list(elements)}}}


def _jump(target: str) -> dict[str, Any]:
    return {"jump": {"target": target}}


def state(*names: str) -> dict[str, Any]:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": list(names)}}


def base(name: str = "INPUT", hook: str = "input", policy: str = "accept", **fields: Any) -> dict[str, Any]:
    return chain(name, type="filter", hook=hook, prio=0, policy=policy, **fields)


def inet(*items: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return items of table `ip filter` as items of `inet filter`."""
    return tuple({kind: {**body, "family": "inet"} for kind, body in item.items()} for item in items)


def facts(*items: dict[str, Any], **more: Any) -> Facts:
    read = parse_ruleset(ruleset(*items))
    host = Host(sysctls={"net.ipv6.conf.all.disable_ipv6": "0"}, uplinks=("eth0",))
    return Facts(**{"ruleset": read, "host": host, "time_s": _NOW_S, **more})


def found(check: str, given: Facts) -> list[tuple[State, str]]:
    """Return state and subject of what a check finds."""
    return [(one.state, one.subject) for one in judge([BY_ID[check]], given)]


_PASS = [(State.PASS, "")]


@pytest.mark.parametrize(
    ("items", "subjects"),
    [
        ((), ["input ip", "input ip6"]),
        (inet(base(policy="drop")), []),
        (inet(base(), rule("INPUT", _DROP)), []),
        (inet(base(policy="drop"), rule("INPUT", _ACCEPT)), ["input ip", "input ip6"]),
        ((base(policy="drop"),), ["input ip6"]),
        (inet(base(), rule("INPUT", {"reject": {"type": "icmp", "expr": "admin-prohibited"}})), ["input ip6"]),
        (inet(base(), rule("INPUT", {"reject": {"type": "icmpx"}})), []),
        (inet(base(), rule("INPUT", state("established"), _DROP)), ["input ip", "input ip6"]),
        (inet(base(), rule("INPUT", state("new", "invalid"), _DROP)), []),
        (inet(base(), rule("INPUT", port(22), _DROP)), ["input ip", "input ip6"]),
        (inet(base(), rule("INPUT", meta("iifname", "eth0"), _DROP)), []),
        (inet(base(), rule("INPUT", meta("iifname", "eth1"), _DROP)), ["input ip", "input ip6"]),
        (inet(base(), rule("INPUT", meta("iifname", "lo", "!="), _DROP)), []),
        (inet(base(), chain("more"), rule("INPUT", _jump("more")), rule("more", _DROP)), []),
        (
            inet(base(), chain("more"), rule("INPUT", _jump("more")), rule("more", _RETURN), rule("more", _DROP)),
            ["input ip", "input ip6"],
        ),
        (inet(base("pre", hook="prerouting", policy="drop"), base()), []),
        (
            inet(
                base(),
                chain("world"),
                rule("INPUT", vmap({"meta": {"key": "iifname"}}, ["lo", _ACCEPT], ["eth0", _jump("world")])),
                rule("world", _DROP),
            ),
            [],
        ),
        (inet(base(), rule("INPUT", {"jump": {"target": "INPUT"}})), ["input ip", "input ip6"]),
    ],
)  # fmt: skip
def test_a_firewall_that_accepts_what_no_rule_decides_is_found(
    items: tuple[dict[str, Any], ...], subjects: list[str]
) -> None:
    """Policies, catch-all rules, chains and verdict maps are followed, for each family and for the uplink."""
    assert found("default-accept", facts(*items)) == ([(State.FAIL, one) for one in subjects] or _PASS)


@pytest.mark.parametrize(("mark", "is_dropped"), [("0x0/0x20000", True), ("0x20000/0x20000", False)])
def test_marks_that_rules_set_and_match_are_followed(mark: str, is_dropped: bool) -> None:
    """Calico clears bits of the mark and drops what no policy has set them for."""
    setting = {"xt": {"type": "target", "name": "MARK"}}
    matching = {"xt": {"type": "match", "name": "mark"}}
    text = ruleset(base(), rule("INPUT", setting), rule("INPUT", matching, _DROP))
    saved = f"*filter\n-A INPUT -j MARK --set-xmark 0x0/0x30000\n-A INPUT -m mark --mark {mark} -j DROP\n".encode()
    given = Facts(ruleset=parse_ruleset(text, {"ip": saved}))
    assert ((State.FAIL, "input ip") not in found("default-accept", given)) is is_dropped


def test_forwarding_counts_where_the_node_forwards_and_kubernetes_does_not_decide() -> None:
    """A router without a forward chain fails; a host, and a node of Kubernetes, do not."""
    items = inet(base(policy="drop"))
    router = Host(sysctls={"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.disable_ipv6": "1"})
    (finding,) = judge([BY_ID["default-accept"]], facts(*items, host=router))
    assert (finding.subject, finding.severity) == ("forward ip", Severity.MEDIUM)
    assert found("default-accept", facts(*items, chain("services", "kube-proxy"), host=router)) == _PASS


def test_a_drop_that_only_iptables_understands_leaves_it_unknown() -> None:
    """A catch-all whose match nft cannot show is neither a pass nor a failure."""
    xt = {"xt": {"type": "match", "name": "addrtype"}}
    assert found("default-accept", facts(base(), rule("INPUT", xt, _DROP), *inet(base("six", policy="accept")))) == [
        (State.UNKNOWN, "input ip"),
        (State.FAIL, "input ip6"),
    ]


def _verdict(outcome: Outcome, number: int = 10250, *, path: bool = True) -> Verdict:
    ref = RuleRef(family="ip", table="filter", chain="INPUT", text="x")
    probe = Probe(zone=Zone.WORLD, protocol="tcp", address="192.0.2.1", port=number)
    return Verdict(probe=probe, outcome=outcome, path=(Step(rule=ref, verdict="drop"),) if path else (), why="blind")


@pytest.mark.parametrize(
    ("expressions", "outcome", "states"),
    [
        ((port(10250), _ACCEPT), None, [State.FAIL]),
        ((port(10250), _ACCEPT), Outcome.REACHED, [State.FAIL]),
        ((port(10250), _ACCEPT), Outcome.DROPPED, []),
        ((port(10250), _ACCEPT), Outcome.UNKNOWN, [State.UNKNOWN]),
        ((port({"range": [1, 65535]}), _ACCEPT), None, []),
        ((port({"range": [1, 65535]}), _ACCEPT), Outcome.REACHED, [State.FAIL]),
        ((port({"set": [22, 2379]}), {"counter": {"packets": 0}}, _ACCEPT), None, [State.FAIL]),
        ((port(10250), {"limit": {"rate": 1}}, _ACCEPT), None, [State.FAIL]),
        ((port(10250), _DROP), Outcome.REACHED, []),
        ((port(22), _ACCEPT), None, []),
        ((port(10250, "udp"), _ACCEPT), None, []),
        ((source("10.0.0.1"), port(10250), _ACCEPT), Outcome.REACHED, []),
        ((source("@nodes"), port(10250), _ACCEPT), Outcome.REACHED, []),
        ((meta("iifname", "cni0"), port(10250), _ACCEPT), None, []),
        ((meta("iifname", "eth0"), port(10250), _ACCEPT), None, [State.FAIL]),
        ((state("established"), port(10250), _ACCEPT), None, []),
        (({"xt": {"type": "match", "name": "set"}}, port(10250), _ACCEPT), None, []),
    ],
)
def test_a_rule_that_opens_a_control_port_to_everybody_is_found_and_the_probe_decides(
    expressions: tuple[Any, ...], outcome: Outcome | None, states: list[State]
) -> None:
    """A rule without sources fails, unless real packets were dropped; one with sources or other conditions does not."""
    reach = Reach(verdicts=(_verdict(outcome),) if outcome else ())
    given = facts(base(policy="drop"), rule("INPUT", *expressions), reach=reach)
    assert [one.state for one in judge([BY_ID["permissive-rule"]], given)] == (states or [State.PASS])


def test_the_chains_that_everybody_reaches_are_followed_and_others_are_not() -> None:
    """A jump for some sources leads to rules for some sources."""
    for condition, states in (((), [State.FAIL]), ((source("10.0.0.1"),), [State.PASS])):
        given = facts(
            base(policy="drop"),
            chain("in"),
            rule("INPUT", *condition, {"jump": {"target": "in"}}),
            rule("in", port(2379), _ACCEPT),
        )
        assert [one.state for one in judge([BY_ID["permissive-rule"]], given)] == states


def test_a_rule_that_accepted_nothing_for_thirty_days_is_found() -> None:
    """Its counter was 0 that long ago and is still; a rule that was used, or drops, or is new is not found."""

    def given(packets: int, verdict: dict[str, Any], **states: Baseline) -> Facts:
        counter = {"counter": {"packets": packets, "bytes": 0}}
        return facts(base(policy="drop"), rule("INPUT", port(22), counter, verdict), **states)

    def earlier(packets: int, days: float) -> Baseline:
        return make_baseline(msgspec.structs.replace(given(packets, _ACCEPT), time_s=_NOW_S - days * _DAY_S), "node")

    assert found("never-hit", given(0, _ACCEPT)) == _PASS
    assert found("never-hit", given(0, _ACCEPT, previous=earlier(0, 29))) == _PASS
    old = [(State.FAIL, "ip filter INPUT: tcp dport 22 accept")]
    assert found("never-hit", given(0, _ACCEPT, previous=earlier(0, 31))) == old
    assert found("never-hit", given(0, _ACCEPT, baseline=earlier(0, 31), previous=earlier(0, 1))) == old
    assert found("never-hit", given(9, _ACCEPT, previous=earlier(0, 31))) == _PASS
    assert found("never-hit", given(0, _ACCEPT, previous=earlier(9, 31))) == _PASS
    assert found("never-hit", given(0, _DROP, previous=earlier(0, 31))) == _PASS
    chained = make_baseline(given(0, _ACCEPT, previous=earlier(0, 31)), "node")
    assert found("never-hit", given(0, _ACCEPT, previous=chained)) == old


def test_rules_in_both_firewalls_are_found() -> None:
    """Rules of iptables-legacy and of nftables fail; either alone, or with tables that only drop, does not."""

    def given(*items: dict[str, Any], legacy: tuple[str, ...] = (), lack: str = "") -> Facts:
        read = parse_ruleset(ruleset(*items))
        return Facts(ruleset=msgspec.structs.replace(read, legacy_tables=legacy, legacy_lack=lack))

    mine = (base(), rule("INPUT", port(22), _ACCEPT))
    ours = (chain("ban", "nodewarden"), rule("ban", _DROP, table="nodewarden"))
    assert found("legacy-and-nft", given(*mine, legacy=("ip nat",))) == [(State.FAIL, "iptables-legacy")]
    assert found("legacy-and-nft", given(base(), legacy=("ip nat",))) == _PASS
    assert found("legacy-and-nft", given(*mine)) == _PASS
    assert found("legacy-and-nft", given(*ours, legacy=("ip nat",))) == _PASS
    assert found("legacy-and-nft", given(*mine, lack="not permitted")) == [(State.UNKNOWN, "")]


@pytest.mark.parametrize(
    ("loaders", "texts", "states"),
    [
        ((), {}, [State.FAIL]),
        (("nftables.service",), {"/etc/nftables.conf": "table ip filter {\n}"}, [State.PASS]),
        (("nftables.service",), {"/etc/nftables.conf": "flush ruleset\ntable filter {\n}"}, [State.PASS]),
        (("nftables.service",), {"/etc/nftables.conf": "# table ip filter {\n}"}, [State.FAIL]),
        (("nftables.service",), {"/etc/nftables.conf": "table ip filters {\n}"}, [State.FAIL]),
        (("netfilter-persistent.service",), {"/etc/iptables/rules.v4": "*filter\nCOMMIT\n"}, [State.PASS]),
        (("netfilter-persistent.service",), {"/etc/iptables/rules.v6": "*filter\nCOMMIT\n"}, [State.FAIL]),
        (("my-firewall.service",), {}, [State.PASS]),
    ],
)
def test_rules_that_no_unit_loads_are_found(
    loaders: tuple[str, ...], texts: dict[str, str], states: list[State]
) -> None:
    """The operator's table must be in a file that an enabled unit loads."""
    read = parse_ruleset(ruleset(base(), rule("INPUT", port(22), _ACCEPT)))
    kept = Persistence(is_known=True, loaders=loaders, texts=texts)
    given = Facts(ruleset=msgspec.structs.replace(read, persistence=kept))
    assert [one.state for one in judge([BY_ID["not-persistent"]], given)] == states


def test_rules_of_other_programs_need_no_unit_and_unreadable_units_are_unknown() -> None:
    """kube-proxy's rules come back without one; what cannot be read is not said to be well."""
    kube = parse_ruleset(ruleset(base(), rule("INPUT", {"jump": {"target": "KUBE-SERVICES"}})))
    assert found("not-persistent", Facts(ruleset=kube)) == _PASS
    mine = parse_ruleset(ruleset(base(), rule("INPUT", port(22), _ACCEPT)))
    assert found("not-persistent", Facts(ruleset=mine)) == [(State.UNKNOWN, "")]


def test_a_change_since_the_baseline_or_else_since_the_last_audit_is_found() -> None:
    """The baseline is compared first; without both, and with one that has no rules, it is unknown."""
    one = (base(policy="drop"), rule("INPUT", port(22), _ACCEPT))
    two = (*one, rule("INPUT", port(8080), _ACCEPT))
    before = make_baseline(facts(*one), "node")
    assert found("tables-drift", facts(*two)) == [(State.UNKNOWN, "")]
    assert found("tables-drift", facts(*one, baseline=before)) == _PASS
    assert found("tables-drift", facts(*two, previous=before)) == [(State.FAIL, "ip filter")]
    accepted = make_baseline(facts(*two), "node")
    assert found("tables-drift", facts(*two, baseline=accepted, previous=before)) == _PASS
    (finding,) = judge([BY_ID["tables-drift"]], facts(*two, baseline=before))
    assert "1 rule added; added by operator INPUT: tcp dport 8080 accept" in finding.text
    blind = make_baseline(facts(lacks={Part.RULESET: "nft is not installed"}, ruleset=Ruleset()), "node")
    assert found("tables-drift", facts(*two, baseline=blind)) == [(State.UNKNOWN, "")]


def test_the_daemons_own_problems_with_its_table_are_found() -> None:
    """A fault of the table and traffic past it fail; a daemon that does not answer is unknown."""
    for own, expected in (
        (Own(is_running=True), _PASS),
        (Own(), [(State.UNKNOWN, "")]),
        (Own(is_running=True, problems=(ProblemKind.LEAK.value,)), [(State.FAIL, "problem leak")]),
        (Own(is_running=True, problems=(ProblemKind.TABLE.value, "budget")), [(State.FAIL, "problem table")]),
    ):
        assert found("own-table", Facts(own=own)) == expected
