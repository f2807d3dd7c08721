"""The checks of the host: what fails, how badly, and what is not known."""

from collections.abc import Mapping

import pytest

from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef
from monitor.audit.host import Host, Process, Program, ProgramKind, Setting
from monitor.audit.judging import judge
from monitor.audit.own import Own
from monitor.audit.registry import BY_ID
from monitor.audit.ruleset import Chain, Rule, Ruleset

KUBELET, APISERVER, ETCD = ProgramKind.KUBELET, ProgramKind.APISERVER, ProgramKind.ETCD
CHECKS = {
    KUBELET: (
        "kubelet-anonymous", "kubelet-authorization", "kubelet-client-ca", "kubelet-iptables", "kubelet-readonly-port",
    ),
    APISERVER: (
        "apiserver-anonymous", "apiserver-authorization", "apiserver-client-ca", "apiserver-etcd-tls",
        "apiserver-noderestriction", "external-ips",
    ),
    ETCD: ("etcd-auto-tls", "etcd-client-auth", "etcd-listen", "etcd-peers", "etcd-tls"),
}  # fmt: skip
GOOD = {
    KUBELET: {
        "anonymous-auth": "false", "authorization-mode": "Webhook", "client-ca-file": "/ca", "read-only-port": "0",
        "make-iptables-util-chains": "true",
    },
    APISERVER: {
        "anonymous-auth": "false", "authorization-mode": "Node,RBAC", "client-ca-file": "/ca",
        "enable-admission-plugins": "NodeRestriction,DenyServiceExternalIPs", "etcd-servers": "https://10.0.0.1:2379",
        "etcd-cafile": "/a", "etcd-certfile": "/b", "etcd-keyfile": "/c",
    },
    ETCD: {
        "listen-client-urls": "https://127.0.0.1:2379,https://10.0.0.1:2379", "listen-peer-urls": "https://10.0.0.1:2380",
        "listen-metrics-urls": "http://127.0.0.1:2381", "cert-file": "/c", "key-file": "/k", "client-cert-auth": "true",
        "auto-tls": "false", "peer-cert-file": "/c", "peer-key-file": "/k", "peer-client-cert-auth": "true",
        "peer-auto-tls": "false",
    },
}  # fmt: skip
"""Settings of programs without a fault."""
SYSCTLS = {
    "net.ipv4.ip_forward": "0",
    "net.ipv4.tcp_syncookies": "1",
    "net.netfilter.nf_conntrack_count": "10",
    "net.netfilter.nf_conntrack_max": "100",
    "net.ipv6.conf.all.forwarding": "0",
    **{
        f"net.ipv4.conf.{interface}.{name}": str(int(name == "rp_filter"))
        for interface in ("all", "default", "eth0", "cni0")
        for name in (
            "rp_filter", "forwarding", "route_localnet", "accept_redirects", "send_redirects", "accept_source_route"
        )
    },
    **{f"net.ipv6.conf.eth0.{name}": "0" for name in ("accept_redirects", "forwarding", "disable_ipv6")},
}  # fmt: skip
HOST = Host(sysctls=SYSCTLS, interfaces=("eth0", "vlan"), uplinks=("eth0",))


def program(kind: ProgramKind, changes: Mapping[str, str | None], gap: str = "") -> Program:
    """Return a program without a fault, but for these changes; None removes a setting."""
    values = {name: value for name, value in {**GOOD[kind], **changes}.items() if value is not None}
    settings = {name: Setting(value=value) for name, value in values.items()}
    return Program(kind=kind, subject=kind.value, settings=settings, gap=gap)


def found(check: str, facts: Facts) -> list[Finding]:
    """Return what a check finds."""
    return list(judge([BY_ID[check]], facts))


def failures(facts: Facts, *checks: str) -> list[str]:
    """Return `check severity subject` of what fails."""
    findings = [finding for check in checks for finding in found(check, facts)]
    return [f"{one.check} {one.severity} {one.subject}" for one in findings if one.state == "fail"]


@pytest.mark.parametrize("kind", CHECKS)
def test_programs_without_a_fault_pass(kind: ProgramKind) -> None:
    """All checks of a kind pass, and say so."""
    facts = Facts(host=Host(programs=(program(kind, {}),)))
    for check in CHECKS[kind]:
        assert [one.state for one in found(check, facts)] == ["pass"], check


@pytest.mark.parametrize("kind", CHECKS)
def test_a_check_says_that_it_does_not_apply(kind: ProgramKind) -> None:
    """Where none runs, the text of the pass says so; where one may run unseen, nothing is known."""
    for check in CHECKS[kind]:
        (finding,) = found(check, Facts())
        assert (finding.state, finding.text) == ("pass", f"no {kind} runs here")
        (finding,) = found(check, Facts(host=Host(gap="hidden")))
        assert (finding.state, finding.text) == ("unknown", "hidden")


@pytest.mark.parametrize("kind", CHECKS)
def test_a_setting_that_is_not_known_is_never_a_pass(kind: ProgramKind) -> None:
    """A file that cannot be read makes all checks of the program unknown, with the reason."""
    facts = Facts(host=Host(programs=(Program(kind=kind, subject="one", gap="/etc/x cannot be read"),)))
    for check in CHECKS[kind]:
        (finding,) = found(check, facts)
        assert (finding.state, finding.subject) == ("unknown", "one"), check
        assert "/etc/x cannot be read" in finding.text


PROGRAMS: list[tuple[ProgramKind, dict[str, str | None], list[str]]] = [
    (KUBELET, {"anonymous-auth": "true"}, ["kubelet-anonymous high kubelet"]),
    (
        KUBELET,
        {"anonymous-auth": "true", "authorization-mode": "AlwaysAllow"},
        ["kubelet-anonymous critical kubelet", "kubelet-authorization critical kubelet"],
    ),
    (KUBELET, {"client-ca-file": None}, ["kubelet-client-ca medium kubelet"]),
    (KUBELET, {"client-ca-file": ""}, ["kubelet-client-ca medium kubelet"]),
    (KUBELET, {"read-only-port": "10255"}, ["kubelet-readonly-port high kubelet"]),
    (KUBELET, {"make-iptables-util-chains": "false"}, ["kubelet-iptables medium kubelet"]),
    (APISERVER, {"anonymous-auth": "true"}, ["apiserver-anonymous medium kube-apiserver"]),
    (APISERVER, {"anonymous-auth": "true", "anonymous-paths": "/livez,/readyz"}, []),
    (
        APISERVER,
        {"anonymous-auth": "true", "anonymous-paths": "/livez,/api"},
        ["apiserver-anonymous medium kube-apiserver"],
    ),
    (
        APISERVER,
        {"anonymous-auth": "true", "authorization-mode": "AlwaysAllow"},
        ["apiserver-authorization critical kube-apiserver"],
    ),
    (
        APISERVER,
        {"anonymous-auth": "true", "authorization-mode": "Node,Webhook"},
        ["apiserver-anonymous high kube-apiserver", "apiserver-authorization high kube-apiserver"],
    ),
    (APISERVER, {"authorization-mode": "RBAC"}, ["apiserver-authorization high kube-apiserver"]),
    (APISERVER, {"authorization-mode": "Node,RBAC,AlwaysAllow"}, ["apiserver-authorization critical kube-apiserver"]),
    (APISERVER, {"client-ca-file": None}, ["apiserver-client-ca high kube-apiserver"]),
    (APISERVER, {"etcd-servers": "http://10.0.0.1:2379"}, ["apiserver-etcd-tls high kube-apiserver"]),
    (APISERVER, {"etcd-servers": "http://127.0.0.1:2379"}, ["apiserver-etcd-tls medium kube-apiserver"]),
    (APISERVER, {"etcd-keyfile": None}, ["apiserver-etcd-tls high kube-apiserver"]),
    (APISERVER, {"etcd-servers": "unix://kine.sock", "etcd-cafile": None}, []),
    (
        APISERVER,
        {"enable-admission-plugins": None},
        ["apiserver-noderestriction high kube-apiserver", "external-ips medium kube-apiserver"],
    ),
    (APISERVER, {"enable-admission-plugins": "NodeRestriction"}, ["external-ips medium kube-apiserver"]),
    (APISERVER, {"disable-admission-plugins": "NodeRestriction"}, ["apiserver-noderestriction high kube-apiserver"]),
    (ETCD, {"cert-file": None}, ["etcd-tls critical etcd"]),
    (ETCD, {"cert-file": None, "listen-client-urls": "https://127.0.0.1:2379"}, ["etcd-tls medium etcd"]),
    (ETCD, {"cert-file": None, "auto-tls": "true"}, ["etcd-auto-tls high etcd"]),
    (ETCD, {"client-cert-auth": "false"}, ["etcd-client-auth critical etcd"]),
    (ETCD, {"client-cert-auth": "false", "trusted-ca-file": "/ca"}, []),
    (
        ETCD,
        {"listen-client-urls": "http://10.0.0.1:2379"},
        ["etcd-client-auth critical etcd", "etcd-tls critical etcd"],
    ),
    (
        ETCD,
        {"listen-client-urls": "http://localhost:2379", "client-cert-auth": "false"},
        ["etcd-client-auth medium etcd", "etcd-tls medium etcd"],
    ),
    (
        ETCD,
        {"listen-client-urls": "https://10.0.0.1:2379,http://127.0.0.1:2379"},
        ["etcd-client-auth medium etcd", "etcd-tls medium etcd"],
    ),
    (ETCD, {"peer-cert-file": None}, ["etcd-peers high etcd"]),
    (ETCD, {"peer-client-cert-auth": "false"}, ["etcd-peers high etcd"]),
    (ETCD, {"peer-client-cert-auth": "false", "peer-trusted-ca-file": "/ca"}, []),
    (ETCD, {"peer-auto-tls": "true"}, ["etcd-peers high etcd"]),
    (ETCD, {"peer-key-file": None, "listen-peer-urls": "http://[::1]:2380"}, ["etcd-peers low etcd"]),
    (ETCD, {"listen-client-urls": "https://0.0.0.0:2379"}, ["etcd-listen medium etcd"]),
    (ETCD, {"listen-peer-urls": "https://[::]:2380"}, ["etcd-listen medium etcd"]),
    (ETCD, {"listen-metrics-urls": "http://10.0.0.1:2381"}, ["etcd-listen medium etcd"]),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), PROGRAMS)
def test_a_faulty_setting_fails_its_checks_and_no_other(
    kind: ProgramKind, changes: dict[str, str | None], expected: list[str]
) -> None:
    """Each fault is found by the checks that are about it, as severe as it is there."""
    facts = Facts(host=Host(programs=(program(kind, changes),)))
    assert failures(facts, *CHECKS[kind]) == expected


def test_every_check_of_a_program_fails_somewhere() -> None:
    """No check is left out of the table above."""
    failing = {line.partition(" ")[0] for _, _, expected in PROGRAMS for line in expected}
    assert failing == {check for checks in CHECKS.values() for check in checks}


def test_a_remedy_names_the_place_where_a_setting_is() -> None:
    """The field of the file, the flag of the command line, or the argument of k3s."""
    places = {
        "/var/lib/kubelet/config.yaml": "Set `authentication.anonymous.enabled: false` in /var/lib/kubelet/config.yaml",
        "": "Set `--anonymous-auth=false`",
        "/etc/rancher/k3s/config.yaml": "Add `anonymous-auth=false` to kubelet-arg in /etc/rancher/k3s/config.yaml",
    }
    for location, remedy in places.items():
        settings = {name: Setting(value="true", location=location) for name in ("anonymous-auth", "authorization-mode")}
        facts = Facts(host=Host(programs=(Program(kind=KUBELET, subject="kubelet", settings=settings),)))
        (finding,) = found("kubelet-anonymous", facts)
        assert finding.remedy.startswith(remedy)
        assert finding.location == location


SYSCTL_CHECKS = (
    "rp-filter", "forwarding", "route-localnet", "syncookies", "redirects", "source-route", "conntrack-full"
)  # fmt: skip


def host(changes: Mapping[str, str | None], **fields: object) -> Host:
    """Return a host without a fault, but for these sysctls; None removes one."""
    sysctls = {name: value for name, value in {**SYSCTLS, **changes}.items() if value is not None}
    return Host(**{"sysctls": sysctls, "interfaces": ("cni0", "eth0"), "uplinks": ("eth0",), **fields})  # type: ignore[arg-type]


C4, C6 = "net.ipv4.conf", "net.ipv6.conf"
V4_ACCEPT = f"redirects low {C4}.*.accept_redirects"
KERNEL: list[tuple[dict[str, str | None], list[str]]] = [
    ({}, []),
    ({f"{C4}.all.rp_filter": "0"}, []),
    ({f"{C4}.all.rp_filter": "0", f"{C4}.eth0.rp_filter": "0"}, [f"rp-filter low {C4}.*.rp_filter"]),
    ({f"{C4}.all.rp_filter": "0", f"{C4}.cni0.rp_filter": "0"}, []),
    ({f"{C4}.all.rp_filter": "2", f"{C4}.eth0.rp_filter": "0"}, []),
    ({f"{C4}.cni0.route_localnet": "1"}, [f"route-localnet medium {C4}.*.route_localnet"]),
    ({f"{C4}.all.route_localnet": "1"}, [f"route-localnet medium {C4}.*.route_localnet"]),
    ({"net.ipv4.tcp_syncookies": "0"}, ["syncookies medium net.ipv4.tcp_syncookies"]),
    ({f"{C4}.eth0.accept_redirects": "1"}, [V4_ACCEPT]),
    ({f"{C4}.all.accept_redirects": "1"}, [V4_ACCEPT]),
    ({f"{C4}.eth0.accept_redirects": "1", f"{C4}.eth0.forwarding": "1"}, []),
    ({f"{C4}.cni0.accept_redirects": "1"}, []),
    ({f"{C4}.eth0.send_redirects": "1"}, []),
    (
        {f"{C4}.eth0.send_redirects": "1", f"{C4}.eth0.forwarding": "1"},
        [f"redirects info {C4}.*.send_redirects"],
    ),
    ({f"{C6}.eth0.accept_redirects": "1"}, [f"redirects low {C6}.*.accept_redirects"]),
    ({f"{C6}.eth0.accept_redirects": "1", f"{C6}.eth0.forwarding": "1"}, []),
    ({f"{C4}.eth0.accept_source_route": "1"}, []),
    (
        {f"{C4}.eth0.accept_source_route": "1", f"{C4}.all.accept_source_route": "1"},
        [f"source-route medium {C4}.*.accept_source_route"],
    ),
    ({"net.netfilter.nf_conntrack_count": "79"}, []),
    ({"net.netfilter.nf_conntrack_count": "80"}, ["conntrack-full medium net.netfilter.nf_conntrack_count"]),
    ({"net.netfilter.nf_conntrack_count": "95"}, ["conntrack-full high net.netfilter.nf_conntrack_count"]),
    ({"net.netfilter.nf_conntrack_count": None, "net.netfilter.nf_conntrack_max": None}, []),
]


@pytest.mark.parametrize(("changes", "expected"), KERNEL)
def test_sysctls_combine_as_the_kernel_combines_them(changes: dict[str, str | None], expected: list[str]) -> None:
    """`all` and the interface: the larger value, one of them, or both; and only where strangers arrive."""
    assert failures(Facts(host=host(changes)), *SYSCTL_CHECKS) == expected


def test_forwarding_fails_only_where_nothing_is_known_to_need_it() -> None:
    """A kubelet, a bridge of containers or a tunnel are reasons to forward; unseen processes may be."""
    on: dict[str, str | None] = {"net.ipv4.ip_forward": "1", f"{C6}.all.forwarding": "1"}
    plain = {"interfaces": ("eth0",)}
    expected = ["forwarding medium net.ipv4.ip_forward", f"forwarding medium {C6}.all.forwarding"]
    assert failures(Facts(host=host(on, **plain)), "forwarding") == expected
    kubelet = Process(pid=7, name="kubelet")
    assert not failures(Facts(host=host(on, **plain, processes=(kubelet,))), "forwarding")
    assert not failures(Facts(host=host(on)), "forwarding")
    one = host({f"{C4}.eth0.forwarding": "1"}, **plain)
    assert failures(Facts(host=one), "forwarding") == ["forwarding medium net.ipv4.ip_forward"]
    findings = found("forwarding", Facts(host=host(on, **plain, gap="hidden")))
    assert [one.state for one in findings] == ["unknown", "unknown"]


def test_loopback_is_guarded_by_a_rule_against_martians() -> None:
    """With KUBE-FIREWALL route_localnet passes; without the ruleset nobody knows."""
    on = host({f"{C4}.all.route_localnet": "1"})
    ref = RuleRef(
        family="ip", table="filter", chain="KUBE-FIREWALL", handle=4,
        text="ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 ct status dnat counter drop",
    )  # fmt: skip
    chain = Chain(family="ip", table="filter", name="KUBE-FIREWALL", rules=(Rule(ref=ref),))
    assert not failures(Facts(host=on, ruleset=Ruleset(chains=(chain,))), "route-localnet")
    (finding,) = found("route-localnet", Facts(host=on, lacks={Part.RULESET: "no nft"}))
    assert (finding.state, "no nft" in finding.text) == ("unknown", True)


@pytest.mark.parametrize("check", [check for check in SYSCTL_CHECKS if check != "conntrack-full"])
def test_a_sysctl_that_cannot_be_read_is_unknown(check: str) -> None:
    """Neither a missing value nor one that is no number passes."""
    for sysctls in ({}, dict.fromkeys(SYSCTLS, "many")):
        assert {one.state for one in found(check, Facts(host=Host(sysctls=sysctls)))} == {"unknown"}


def test_a_count_of_connections_without_a_bound_is_unknown() -> None:
    """One of both values alone says nothing; without either, nothing is tracked, and the pass says that."""
    (finding,) = found("conntrack-full", Facts(host=host({"net.netfilter.nf_conntrack_max": None})))
    assert finding.state == "unknown"
    (finding,) = found("conntrack-full", Facts())
    assert (finding.state, finding.text) == ("pass", "connections are not tracked")


FLEETS = [
    ("", "", []),
    ("rediss://redis.example.org:6379", "node-a", []),
    ("redis://redis.example.org:6379", "node-a", ["fleet-tls high fleet.url"]),
    ("redis://127.0.0.1:6379", "node-a", []),
    ("unix:///run/redis.sock", "", ["fleet-tls medium fleet.username"]),
    ("rediss://redis.example.org", "", ["fleet-tls high fleet.username"]),
    ("rediss://redis.example.org", "default", ["fleet-tls high fleet.username"]),
    ("rediss://node-a@redis.example.org", "", []),
    ("redis+sentinel://127.0.0.1,10.0.0.1/bans", "node-a", ["fleet-tls high fleet.url"]),
]


@pytest.mark.parametrize(("url", "user", "expected"), FLEETS)
def test_the_fleet_is_joined_with_tls_and_a_user(url: str, user: str, expected: list[str]) -> None:
    """A server on loopback needs no TLS; a user in the URL counts."""
    assert failures(Facts(own=Own(fleet_url=url, fleet_user=user)), "fleet-tls") == expected


def test_a_fleet_url_of_no_form_is_unknown() -> None:
    """It is never taken for a node without a fleet."""
    (finding,) = found("fleet-tls", Facts(own=Own(fleet_url="redis://")))
    assert finding.state == "unknown"


def test_egress_without_approved_networks_is_reported() -> None:
    """As information: it is how most nodes are."""
    assert failures(Facts(own=Own()), "egress-open") == ["egress-open info egress.approved"]
    assert not failures(Facts(own=Own(egress_approved=3)), "egress-open")
