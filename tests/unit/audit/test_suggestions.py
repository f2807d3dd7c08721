"""What is suggested for findings: it repairs them, it names nothing that others chose without a check, and it warns."""

import re
from collections.abc import Iterable

import msgspec
import pytest

from monitor.audit.baseline import Baseline
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity, State, Zone
from monitor.audit.host import Host, Program, ProgramKind, Setting
from monitor.audit.judging import judge
from monitor.audit.own import Own
from monitor.audit.reach import Reach
from monitor.audit.registry import ALL, BY_ID
from monitor.audit.ruleset import Author, Chain, Rule, Ruleset
from monitor.audit.suggest.control_plane import CONTROL_PLANE
from monitor.audit.suggest.programs import ADDRESS
from monitor.audit.suggest.suggestion import Form, Known, Neighbourhood, Suggestion
from monitor.audit.suggest.table import BY_CHECK, suggest
from monitor.model.addresses import parse_network
from tests.support.audit_reach import listener, verdict

_NETWORKS = Neighbourhood(
    uplink=(parse_network("192.0.2.0/24"), parse_network("2001:db8::/64")), inside=(parse_network("10.244.0.0/16"),)
)
_HOSTILE = "x\x1b[2J\n; flush ruleset #"


def _finding(check: str, subject: str, *zones: Zone, rule: RuleRef | None = None, remedy: str = "") -> Finding:
    return Finding(
        check=check,
        subject=subject,
        state=State.FAIL,
        severity=Severity.HIGH,
        text="x",
        zones=zones,
        rule=rule,
        remedy=remedy,
    )


def _suggest(*findings: Finding, facts: Facts | None = None, networks: Neighbourhood = _NETWORKS) -> list[Suggestion]:
    return list(suggest(findings, BY_ID, Known(facts=facts or Facts(), networks=networks)))


def test_every_check_is_repaired_somehow() -> None:
    """A new check needs a line in the table: its findings are more useful with a change that can be copied."""
    missing = {check.id for check in ALL} - BY_CHECK.keys()
    assert missing == set()


_BAD: dict[ProgramKind, dict[str, str]] = {
    ProgramKind.KUBELET: {
        "anonymous-auth": "true",
        "authorization-mode": "AlwaysAllow",
        "read-only-port": "10255",
        "make-iptables-util-chains": "false",
    },
    ProgramKind.APISERVER: {
        "anonymous-auth": "true",
        "authorization-mode": "AlwaysAllow",
        "etcd-servers": "http://192.0.2.9:2379",
        "enable-admission-plugins": "NamespaceLifecycle",
        "disable-admission-plugins": "NodeRestriction",
    },
    ProgramKind.ETCD: {
        "listen-client-urls": "http://0.0.0.0:2379",
        "listen-peer-urls": "http://0.0.0.0:2380",
        "listen-metrics-urls": "http://192.0.2.1:2381",
        "auto-tls": "true",
        "peer-auto-tls": "true",
        "client-cert-auth": "false",
    },
}


_IN_ADDITION = {"apiserver-anonymous": {"authorization-mode": "RBAC"}}
"""With AlwaysAllow the API server refuses anonymous requests."""


def _programs(changes: dict[str, str]) -> tuple[Program, ...]:
    return tuple(
        Program(
            kind=kind,
            subject=str(kind),
            settings={key: Setting(value=text.replace(ADDRESS, "192.0.2.1")) for key, text in (bad | changes).items()},
        )
        for kind, bad in _BAD.items()
    )  # fmt: skip


def _failing(check: str, host: Host) -> list[Finding]:
    found = judge([BY_ID[check]], Facts(host=host))
    return [one for one in found if one.state is State.FAIL]


@pytest.mark.parametrize("check", list(CONTROL_PLANE))
def test_flags_that_are_suggested_make_the_check_pass(check: str) -> None:
    """Set on a control plane that fails all checks, each repairs its own."""
    more = _IN_ADDITION.get(check, {})
    host = Host(programs=_programs(more))
    before = _failing(check, host)
    assert before
    made = list(suggest(before, BY_ID, Known(facts=Facts(host=host))))
    assert [one.form for one in made] == [Form.SETTINGS]
    assert made[0].warning
    assert all(f"--{name}={value}" in made[0].text for name, value in made[0].changes.items())
    assert _failing(check, Host(programs=_programs({**more, **made[0].changes}))) == []


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("/var/lib/kubelet/config.yaml", "authentication:\n  anonymous:\n    enabled: false"),
        ("/etc/rancher/k3s/config.yaml", 'kubelet-arg:\n  - "anonymous-auth=false"'),
        ("", "--anonymous-auth=false"),
    ],
)
def test_a_setting_is_written_as_its_file_has_it(location: str, text: str) -> None:
    """A flag of the command line is none of the configuration file, and k3s has a notation of its own."""
    settings = {"anonymous-auth": Setting(value="true", location=location)}
    host = Host(programs=(Program(kind=ProgramKind.KUBELET, subject="kubelet", settings=settings),))
    (made,) = _suggest(_finding("kubelet-anonymous", "kubelet"), facts=Facts(host=host))
    assert (made.text, made.target) == (text, location)


_SYSCTLS = {
    "net.ipv4.tcp_syncookies": "0",
    "net.netfilter.nf_conntrack_max": "1000",
    "net.netfilter.nf_conntrack_count": "990",
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
} | {
    f"net.{family}.conf.{interface}.{name}": value
    for family, names in {
        "ipv4": {
            "rp_filter": "0",
            "route_localnet": "1",
            "accept_redirects": "1",
            "send_redirects": "1",
            "secure_redirects": "0",
            "accept_source_route": "1",
            "forwarding": "1",
        },
        "ipv6": {"accept_redirects": "1", "accept_source_route": "1", "forwarding": "0", "disable_ipv6": "0"},
    }.items()
    for interface in ("all", "default", "eth0", "eth0/100")
    for name, value in names.items()
}


def _host(sysctls: Iterable[tuple[str, str]] = ()) -> Host:
    return Host(sysctls=_SYSCTLS | dict(sysctls), interfaces=("eth0", "eth0/100"), uplinks=("eth0",))


@pytest.mark.parametrize("check", ["rp-filter", "route-localnet", "syncookies", "redirects", "source-route"])
def test_sysctls_that_are_suggested_make_the_check_pass(check: str) -> None:
    """On every interface; `/` stands for a dot in its name, as sysctl.d(5) has it."""
    before = _failing(check, _host())
    assert before
    (made,) = suggest(before, BY_ID, Known(facts=Facts(host=_host())))
    assert (made.form, made.target) == (Form.SYSCTL, "/etc/sysctl.d/90-audit.conf")
    assert made.text.splitlines() == [f"{name} = {value}" for name, value in made.changes.items()]
    assert _failing(check, _host(made.changes.items())) == []


def test_names_of_interfaces_that_others_chose_stay_out_of_files() -> None:
    """A name may hold anything but a slash and white space."""
    name = "net.ipv4.conf.a#b;c.accept_redirects"
    made = _suggest(
        _finding("redirects", "net.ipv4.conf.*.accept_redirects"), facts=Facts(host=_host([(name, "1")]))
    )  # fmt: skip
    assert "a#b" not in made[0].text
    assert "eth0/100" in made[0].text


def test_rules_let_the_zones_through_that_are_not_concerned() -> None:
    """Etcd that pods reach is closed to pods as well; what nodes must not reach is closed to all but the node."""
    (world,) = _suggest(*(_finding("exposed-kubelet", f"tcp/{port}", Zone.WORLD) for port in (10250, 10255)))
    assert "ip saddr != { 10.244.0.0/16, 192.0.2.0/24 } tcp dport { 10250, 10255 } counter drop" in world.text
    assert "ip6 saddr != { 2001:db8::/64 }" in world.text
    assert set(world.subjects) == {"tcp/10250", "tcp/10255"}
    (pods,) = _suggest(_finding("exposed-etcd", "tcp/2379", Zone.WORLD, Zone.PODS))
    assert "ip saddr != { 192.0.2.0/24 } tcp" in pods.text
    *_, everyone = _suggest(_finding("exposed-proxy", "tcp/10249", *Zone))
    assert "meta nfproto ipv4 tcp dport { 10249 }" in everyone.text
    assert "only the node itself can use it" in everyone.warning
    (ipv6,) = _suggest(_finding("ipv6-open", "udp/53", Zone.WORLD))
    assert "ip saddr" not in ipv6.text
    assert "udp dport { 53 }" in ipv6.text


def test_the_port_of_sshd_is_closed_by_nobody_who_copies() -> None:
    """Its lines are comments, wherever sshd listens."""
    reach = Reach(listeners=(listener(2222, "sshd"),))
    findings = [_finding("exposed-other", f"tcp/{port}", Zone.WORLD) for port in (22, 80, 2222)]
    made = [one for one in _suggest(*findings, facts=Facts(reach=reach)) if one.form is Form.NFT]
    live = "".join(line for one in made for line in one.text.splitlines() if not line.strip().startswith("#"))
    assert "dport { 80 }" in live
    assert not re.search(r"\b(22|2222)\b", live.replace("192.0.2", ""))
    assert any("sshd" in one.warning for one in made)


def test_what_is_not_known_is_said() -> None:
    """Networks, and what decides apart from rules."""
    facts = Facts(reach=Reach(blind=("an XDP program on eth0",)))
    (made,) = _suggest(
        _finding("exposed-etcd", "tcp/2379", Zone.WORLD), facts=facts, networks=Neighbourhood(lack="no netlink")
    )  # fmt: skip
    assert "no netlink" in made.warning
    assert "XDP program on eth0" in made.warning
    lacking = Facts(lacks={Part.REACH: "not root"})
    (advice,) = _suggest(_finding("default-accept", "input"), facts=lacking)
    assert (advice.form, "not root" in advice.text) == (Form.ADVICE, True)


def test_a_last_chain_accepts_what_is_open() -> None:
    """By port, for each protocol; translated ports are not for the input chain."""
    verdicts = (verdict(22), verdict(53, protocol="udp"), verdict(8080, to="10.0.0.1:80"))
    (made,) = _suggest(_finding("default-accept", "input"), facts=Facts(reach=Reach(verdicts=verdicts)))
    assert "policy drop;" in made.text
    assert "tcp dport { 22 } accept" in made.text
    assert "udp dport { 53 } accept" in made.text
    assert "8080" not in made.text


def _rules(author: Author, table: str = "own") -> tuple[Facts, RuleRef]:
    ref = RuleRef(family="inet", table=table, chain="input", handle=7, text="accept")
    chain = Chain(family="inet", table=table, name="input", author=author, rules=(Rule(ref=ref, author=author),))
    return Facts(ruleset=Ruleset(chains=(chain,))), ref


@pytest.mark.parametrize("check", ["shadowed-rule", "never-hit", "permissive-rule"])
def test_only_rules_of_the_operator_are_touched(check: str) -> None:
    """Docker would write its rule again; a handle that is no rule of the node, or a name in quotes, is left alone."""
    facts, ref = _rules(Author.OPERATOR)
    (made,) = _suggest(_finding(check, "s", rule=ref), facts=facts)
    *inserted, last = made.text.splitlines()
    assert (made.form, last) == (Form.NFT, "delete rule inet own input handle 7")
    assert inserted == (
        [
            "insert rule inet own input handle 7 ip saddr { 10.244.0.0/16, 192.0.2.0/24 } accept",
            "insert rule inet own input handle 7 ip6 saddr { 2001:db8::/64 } accept",
        ]
        if check == "permissive-rule"
        else []
    )
    assert "nft -a list ruleset" in made.warning
    for author, table in ((Author.DOCKER, "own"), (Author.OPERATOR, _HOSTILE)):
        facts, ref = _rules(author, table)
        assert [one for one in _suggest(_finding(check, "s", rule=ref), facts=facts) if one.form is Form.NFT] == []


@pytest.mark.parametrize(
    "text",
    [
        "tcp dport 1 accept; flush ruleset",
        'comment "x" accept',
        "ip protocol tcp accept",
        "a\nflush ruleset",
        "x" * 300,
        "",
    ],
)
def test_a_rule_that_cannot_be_written_again_is_deleted(text: str) -> None:
    """What is quoted, of one family, or could be more than one statement is not repeated."""
    facts, ref = _rules(Author.OPERATOR)
    (chain,) = facts.ruleset.chains
    ref = msgspec.structs.replace(ref, text=text)
    chain = msgspec.structs.replace(chain, rules=(Rule(ref=ref),))
    (made,) = _suggest(_finding("permissive-rule", "s", rule=ref), facts=Facts(ruleset=Ruleset(chains=(chain,))))
    assert made.text == "delete rule inet own input handle 7"


@pytest.mark.parametrize("check", sorted(BY_CHECK))
def test_hostile_findings_reach_no_text(check: str) -> None:
    """Subjects, names and files that others chose: nothing of them is in rules, commands or settings."""
    ref = RuleRef(family=_HOSTILE, table=_HOSTILE, chain=_HOSTILE, handle=1, text=_HOSTILE)
    finding = msgspec.structs.replace(_finding(check, _HOSTILE, *Zone, rule=ref), location=_HOSTILE)
    facts, _ = _rules(Author.OPERATOR, _HOSTILE)
    for one in _suggest(finding, facts=msgspec.structs.replace(facts, own=Own())):
        assert "flush ruleset" not in one.text
        assert "\x1b" not in one.text


def test_what_nothing_repairs_gets_its_remedy() -> None:
    """That of the finding, or of the check; findings that are unknown or suppressed get nothing."""
    made = _suggest(
        _finding("exposed-etcd", "somewhere", remedy="Ask."),
        _finding("exposed-etcd", "elsewhere"),
        msgspec.structs.replace(_finding("exposed-etcd", "tcp/2379", Zone.WORLD), state=State.UNKNOWN),
    )
    assert [(one.form, one.text, one.subjects) for one in made] == [
        (Form.ADVICE, "Ask.", ("somewhere",)),
        (Form.ADVICE, BY_ID["exposed-etcd"].remedy, ("elsewhere",)),
    ]


def test_a_time_that_is_none_stops_no_audit() -> None:
    """A baseline is a file that may say anything."""
    state = Baseline(time_s=1e300, node="x", digests={"inet own": "x"})
    facts, _ = _rules(Author.OPERATOR)
    assert list(judge([BY_ID["tables-drift"]], msgspec.structs.replace(facts, baseline=state)))
