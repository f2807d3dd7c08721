"""The checks of what can be reached: which verdicts of the kernel make which findings."""

import pytest

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts
from monitor.audit.findings import RuleRef, Severity, State, Zone
from monitor.audit.reach import Outcome, Probe, Reach, Step, Verdict
from monitor.audit.registry import BY_ID
from monitor.audit.ruleset import Author, Chain, Ruleset
from tests.support.audit_reach import NODEPORTS, POD, RULE, V4, V6, judged, lines, listener, verdict

PASS, FAIL, UNKNOWN = State.PASS, State.FAIL, State.UNKNOWN
EXPOSED = [check for check in BY_ID.values() if check.id.startswith("exposed-")]


def facts(*parts: object, **more: object) -> Facts:
    """Return facts with these listeners and verdicts."""
    listeners = tuple(one for one in parts if type(one).__name__ == "Listener")
    verdicts = tuple(one for one in parts if type(one).__name__ == "Verdict")
    untranslated = more.pop("untranslated", ())
    return Facts(
        reach=Reach(listeners=listeners, verdicts=verdicts, untranslated=untranslated),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("port", "process", "check", "severity"),
    [
        (2379, "etcd", "exposed-etcd", Severity.CRITICAL),
        (2380, "", "exposed-etcd", Severity.CRITICAL),
        (23790, "etcd", "exposed-etcd", Severity.CRITICAL),
        (10250, "kubelet", "exposed-kubelet", Severity.CRITICAL),
        (10255, "k3s-server", "exposed-kubelet", Severity.CRITICAL),
        (10257, "kube-controller", "exposed-control", Severity.HIGH),
        (10259, "kube-scheduler", "exposed-control", Severity.HIGH),
        (6443, "kube-apiserver", "exposed-apiserver", Severity.MEDIUM),
        (443, "kube-apiserver", "exposed-apiserver", Severity.MEDIUM),
        (10249, "kube-proxy", "exposed-proxy", Severity.MEDIUM),
        (10256, "kube-proxy", "exposed-other", Severity.MEDIUM),
        (10248, "kubelet", "exposed-other", Severity.MEDIUM),
        (22, "sshd", "exposed-other", Severity.MEDIUM),
    ],
)
def test_an_open_port_is_one_finding_of_one_check(port: int, process: str, check: str, severity: Severity) -> None:
    """A part of a control plane is known by its port or its process, and no other check reports it again."""
    known = facts(listener(port, process), verdict(port))
    found = {one.id: lines(one, known) for one in EXPOSED}
    assert {name: found[name] for name in found if found[name][0][1] is not PASS} == {
        check: [(f"tcp/{port}", FAIL, severity)]
    }


def test_zones_and_families_are_one_finding_with_the_rule_that_decides() -> None:
    """A service open from two zones and over both families is reported once, with process, zones and rule."""
    known = facts(
        listener(2379, "etcd", "::"),
        verdict(2379, zone=Zone.PODS),
        verdict(2379),
        verdict(2379, address=V6),
        verdict(2379, zone=Zone.NODES),
    )
    (finding,) = judged(BY_ID["exposed-etcd"], known)
    assert finding.zones == (Zone.WORLD, Zone.PODS)
    assert finding.rule == RULE
    assert finding.text == "etcd (etcd) can be reached from world (IPv4, IPv6), pods (IPv4)"


def test_peers_may_reach_etcd_and_the_kubelet() -> None:
    """Only nodes reach them: that is how clusters work."""
    for port, check in ((2379, "exposed-etcd"), (10250, "exposed-kubelet")):
        tried = (verdict(port, zone=Zone.NODES), verdict(port, Outcome.DROPPED))
        assert lines(BY_ID[check], facts(listener(port), *tried))[0][1] is PASS


def test_what_only_the_firewall_keeps_closed_belongs_on_loopback() -> None:
    """The scheduler on all addresses is low while no packet arrives, and passes on loopback."""
    check = BY_ID["exposed-control"]
    dropped = verdict(10259, Outcome.DROPPED)
    assert lines(check, facts(listener(10259, "kube-scheduler"), dropped)) == [("tcp/10259", FAIL, Severity.LOW)]
    assert lines(check, facts(listener(10259, "kube-scheduler", "127.0.0.1")))[0][1] is PASS


@pytest.mark.parametrize("port", [2379, 10250, 10257, 6443, 10249, 22])
def test_what_is_not_known_never_passes(port: int) -> None:
    """An unknown verdict, or none at all for a port that listens for everybody, is an unknown finding."""
    for known in (facts(listener(port), verdict(port, Outcome.UNKNOWN)), facts(listener(port))):
        states = {finding.state for one in EXPOSED for finding in judged(one, known)}
        assert UNKNOWN in states
        assert FAIL not in states


def test_one_open_address_is_enough() -> None:
    """A port that is unknown at one address and open at another fails."""
    known = facts(listener(2379), verdict(2379, Outcome.UNKNOWN), verdict(2379, address=V6))
    assert lines(BY_ID["exposed-etcd"], known) == [("tcp/2379", FAIL, Severity.CRITICAL)]


def test_a_baseline_accepts_a_port_for_the_world_by_name() -> None:
    """A port in the baseline is no finding, another protocol of the same number is, and so is etcd."""
    baseline = Baseline(open={"world tcp/53": "dnsmasq", "world tcp/2379": "etcd"})
    tried = (verdict(53), verdict(53, protocol="udp"), verdict(2379))
    known = facts(listener(53), listener(53, protocol="udp"), listener(2379), *tried, baseline=baseline)
    assert lines(BY_ID["exposed-other"], known) == [("udp/53", FAIL, Severity.MEDIUM)]
    assert lines(BY_ID["exposed-etcd"], known)[0][1] is FAIL


def test_translation_does_not_hide_a_control_port() -> None:
    """A forwarded port that ends at etcd is an open etcd, wherever that runs; one that ends elsewhere is not."""
    check = BY_ID["exposed-etcd"]
    assert lines(check, facts(verdict(30000, to=f"{POD}:2379"))) == [("tcp/30000", FAIL, Severity.CRITICAL)]
    assert lines(check, facts(verdict(2379, to=f"{POD}:8080")))[0][1] is PASS
    hidden = facts(listener(9999, "etcd", "127.0.0.1"), verdict(8000, to="127.0.0.1:9999"))
    assert lines(check, hidden) == [("tcp/8000", FAIL, Severity.CRITICAL)]


def translated(without: Outcome, by: Author) -> Facts:
    """Return a port of the node that leads to a pod, and what `input` says about that port."""
    chain = Chain(family="ip", table="nat", name=NODEPORTS.chain, author=by)
    one = verdict(30080, to=f"{POD}:8080", by=NODEPORTS)
    return facts(one, untranslated=(verdict(30080, without),), ruleset=Ruleset(chains=(chain,)))


@pytest.mark.parametrize(
    ("without", "author", "expected"),
    [
        (Outcome.REACHED, Author.KUBE_PROXY, {"exposed-nodeport": (FAIL, Severity.INFO)}),
        (Outcome.DROPPED, Author.KUBE_PROXY, {"exposed-nodeport": (FAIL, Severity.MEDIUM)}),
        (Outcome.REJECTED, Author.CNI, {"exposed-nodeport": (FAIL, Severity.MEDIUM)}),
        (Outcome.UNKNOWN, Author.CNI, {"exposed-nodeport": (FAIL, Severity.INFO)}),
        (Outcome.DROPPED, Author.DOCKER, {"forward-bypass": (FAIL, Severity.HIGH)}),
        (Outcome.DROPPED, Author.OPERATOR, {"forward-bypass": (FAIL, Severity.HIGH)}),
        (Outcome.REACHED, Author.DOCKER, {"exposed-other": (FAIL, Severity.MEDIUM)}),
        (
            Outcome.UNKNOWN,
            Author.DOCKER,
            {"exposed-other": (FAIL, Severity.MEDIUM), "forward-bypass": (UNKNOWN, Severity.HIGH)},
        ),
    ],
)
def test_a_translated_port_is_judged_by_its_author_and_by_input(
    without: Outcome, author: Author, expected: dict[str, tuple[State, Severity]]
) -> None:
    """A NodePort is information, or medium where `input` drops it; any other port that passes by `input` is high."""
    known = translated(without, author)
    found = {check: lines(BY_ID[check], known)[0] for check in ("exposed-nodeport", "exposed-other", "forward-bypass")}
    assert {check: line[1:] for check, line in found.items() if line[1] is not PASS} == expected


def test_an_unknown_translation_never_passes() -> None:
    """A translated port whose probe got no answer is unknown for the check that would report it."""
    lost = verdict(8080, Outcome.UNKNOWN, to=f"{POD}:80")
    assert lines(BY_ID["forward-bypass"], facts(lost))[0][1] is UNKNOWN
    lost = verdict(30080, Outcome.UNKNOWN, to=f"{POD}:80", by=NODEPORTS)
    assert lines(BY_ID["exposed-nodeport"], facts(lost))[0][1] is UNKNOWN


@pytest.mark.parametrize(
    ("v4", "v6", "expected"),
    [
        (Outcome.DROPPED, Outcome.REACHED, FAIL),
        (Outcome.REJECTED, Outcome.REACHED, FAIL),
        (Outcome.REACHED, Outcome.REACHED, PASS),
        (Outcome.REACHED, Outcome.DROPPED, PASS),
        (Outcome.DROPPED, Outcome.DROPPED, PASS),
        (Outcome.UNKNOWN, Outcome.REACHED, UNKNOWN),
        (Outcome.DROPPED, Outcome.UNKNOWN, UNKNOWN),
    ],
)
def test_ipv6_is_compared_with_ipv4(v4: Outcome, v6: Outcome, expected: State) -> None:
    """Closed over IPv4 and open over IPv6 fails; a pair of which one is unknown is unknown."""
    known = facts(listener(22, "sshd", "::"), verdict(22, v4), verdict(22, v6, address=V6))
    assert [line[1] for line in lines(BY_ID["ipv6-open"], known)] == [expected]


def test_zones_are_compared_one_by_one_and_only_over_both_families() -> None:
    """IPv4 that pods reach does not excuse IPv6 that the world reaches; a port without IPv4 is not compared."""
    check = BY_ID["ipv6-open"]
    tried = (verdict(22, Outcome.DROPPED), verdict(22, zone=Zone.PODS), verdict(22, address=V6))
    (finding,) = judged(check, facts(listener(22, "sshd", "::"), *tried))
    assert (finding.state, finding.zones) == (FAIL, (Zone.WORLD,))
    assert lines(check, facts(listener(22, "sshd", V6), verdict(22, address=V6)))[0][1] is PASS


@pytest.mark.parametrize(
    ("outcomes", "last", "expected"),
    [
        ((Outcome.REACHED, Outcome.REACHED), "policy accept", [("input ip", FAIL, Severity.HIGH)]),
        ((Outcome.REACHED, Outcome.REACHED), "accept", [("input ip", FAIL, Severity.HIGH)]),
        ((Outcome.DROPPED, Outcome.REACHED), "policy accept", [("input ip", FAIL, Severity.HIGH)]),
        ((Outcome.DROPPED, Outcome.REACHED), "accept", []),
        ((Outcome.DROPPED, Outcome.REJECTED), "drop", []),
        ((Outcome.UNKNOWN, Outcome.UNKNOWN), "accept", [("input ip", UNKNOWN, Severity.HIGH)]),
    ],
)
def test_the_kernel_says_what_becomes_of_a_port_that_no_rule_names(
    outcomes: tuple[Outcome, Outcome], last: str, expected: list[tuple[str, State, Severity]]
) -> None:
    """A policy that accepts is one, and so is a rule for all ports; a rule for a range of ports is none."""
    tried = tuple(
        Verdict(
            probe=Probe(zone=Zone.WORLD, protocol="tcp", address=V4, port=port),
            outcome=outcome,
            path=(Step(rule=RULE, verdict=last),),
        )
        for port, outcome in zip((7, 61337), outcomes, strict=True)
    )
    found = lines(BY_ID["default-accept"], Facts(reach=Reach(unnamed=tried)))
    assert [line for line in found if line[0] == "input ip"] == expected


def _met(table: str, said: str, hook: str = "input") -> Step:
    return Step(rule=RuleRef(family="inet", table=table, chain="input"), verdict=said, hook=hook)


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ((_met("filter", "accept"), _met("nodewarden", "policy accept")), "filter"),
        ((_met("filter", "policy accept"), _met("nodewarden", "policy accept")), "filter"),
        ((_met("raw", "accept", "prerouting"), _met("filter", "policy accept")), "filter"),
        ((_met("filter", "accept"), _met("late", "accept"), _met("later", "policy accept")), "late"),
        ((_met("filter", "accept"), _met("late", "policy drop")), "late"),
        ((_met("nodewarden", "policy accept"),), ""),
        ((), ""),
    ],
)
def test_a_rule_that_accepts_decides_although_later_chains_let_the_packet_through(
    path: tuple[Step, ...], table: str
) -> None:
    """What a person can change is named: an accepting rule, else a policy of others; our own table decides nothing."""
    probe = Probe(zone=Zone.WORLD, protocol="tcp", address=V4, port=22)
    by = Verdict(probe=probe, outcome=Outcome.REACHED, path=path).decided_by
    assert (by.table if by else "") == table
