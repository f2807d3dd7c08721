"""The rules' text: tables, chains and rules, ports that may be translated, and addresses that no probe may have."""

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.findings import RuleRef, Zone
from monitor.audit.kernel.copied import Dump, prepare_copy
from monitor.audit.kernel.origins import Literals, find_origins
from monitor.audit.kernel.questions import plan, translated_ports
from monitor.audit.kernel.rules_text import split_tables
from monitor.audit.kernel.site import Link, Route, Site, read_links, read_routes
from monitor.audit.reach import Listener

_TEXT = b"""# Warning: table ip nat is managed by iptables-nft, do not touch!
table inet filter { # handle 7
\tflags owner,persist

\tset ports { # handle 3
\t\ttype inet_service
\t\telements = { 22, 80,
\t\t\t     443 }
\t}

\tchain input { # handle 1
\t\tcomment "of the operator"
\t\ttype filter hook input priority filter; policy drop;
\t\ttcp dport @ports accept comment "# handle 9" # handle 4
\t\ttcp dport { 1000, 1001,
\t\t\t\t 1002 } counter jump more # handle 5
\t}

\tchain more { # handle 2
\t\tip saddr 203.0.113.0/24 drop # handle 6
\t}
}
table ip nat { # handle 8
\tmap nodeports { # handle 2
\t\ttype inet_proto . inet_service : verdict
\t\telements = { tcp . 30000 : goto a, udp . 30001 : goto b }
\t}

\tmap services { # handle 3
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\telements = { 10.96.0.1 . tcp . 443 : goto a, 192.0.2.10 . tcp . 444 : goto a }
\t}

\tchain PREROUTING { # handle 1
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tip daddr 192.0.2.10 tcp dport 8080 dnat to 10.0.0.1:80 # handle 4
\t\tip daddr 10.96.0.7 tcp dport 8081 counter jump SVC # handle 5
\t\tmeta l4proto udp th dport 5353-5355 redirect to :53 # handle 6
\t\ttcp dport { 81, 82 } xt match recent counter jump X # handle 7
\t\ttcp dport 83 accept # handle 8
\t}
}
"""


def test_rules_are_found_by_their_position() -> None:
    """Handle and text of a rule are the last words of its lines; -1 is the policy; owners are left out."""
    filters, nat = split_tables(_TEXT)
    assert (filters.family, filters.name, filters.is_opaque) == ("inet", "filter", False)
    assert filters.hooks == {"input"}
    assert filters.rule("input", 0).handle == 4
    assert filters.rule("input", 0).text == 'tcp dport @ports accept comment "# handle 9"'
    assert filters.rule("input", 1).text == "tcp dport { 1000, 1001, 1002 } counter jump more"
    assert filters.rule("more", 0).handle == 6
    assert filters.rule("input", -1) == RuleRef(family="inet", table="filter", chain="input")
    assert filters.rule("gone", 3).handle == 0
    assert b"owner" not in filters.text
    assert filters.text.count(b"{") == filters.text.count(b"}")
    assert nat.has_translation
    assert nat.is_opaque


def test_ports_that_may_be_translated_are_found() -> None:
    """In rules and verdict maps, of addresses of the node only; of a range its ends."""
    ports = translated_ports(split_tables(_TEXT), frozenset({"192.0.2.10"}))
    expected = {("tcp", port) for port in (30000, 444, 8080, 81, 82)} | {("udp", 30001), ("udp", 5353), ("udp", 5355)}
    assert ports == expected


def test_tables_that_nft_cannot_show_are_restored_or_named() -> None:
    """What iptables-nft-save prints of such a table is used; without it, the table is a loss."""
    saved = b"# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    copy = prepare_copy(Dump(text=_TEXT, xtables={"ip": saved}))
    assert [table.name for table in copy.loaded] == ["filter"]
    assert copy.restores == (("iptables-nft-restore", b"*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"),)
    assert not copy.loss
    assert prepare_copy(Dump(text=_TEXT)).loss == ("table ip nat: nft cannot show matches of iptables in it",)


def test_chains_that_count_packets_are_found() -> None:
    """Limits, quotas and sets that packets fill; not rules that only log at a rate."""
    rules = {
        "rate": b"tcp dport 22 limit rate 5/minute accept",
        "set": b"add @knocked { ip saddr } drop",
        "opaque": b"tcp dport 22 xt match recent counter drop",
        "log": b'limit rate 3/minute burst 10 packets counter log prefix "[UFW BLOCK] "',
        "plain": b"tcp dport 22 accept",
    }
    chains = b"".join(b"\tchain " + name.encode() + b" {\n\t\t" + rule + b"\n\t}\n" for name, rule in rules.items())
    copy = prepare_copy(Dump(text=b"table ip filter {\n" + chains + b"}\n"))
    assert [name for _, _, name in copy.limiting()] == ["rate", "set", "opaque"]


@given(st.lists(st.sampled_from(_TEXT.split(b"\n")), max_size=40), st.binary(max_size=80))
def test_any_text_is_cut(lines: list[bytes], more: bytes) -> None:
    """Lines in any order, and what is no text, give tables or none."""
    text = b"\n".join([*lines, more])
    copy = prepare_copy(Dump(text=text, xtables={"ip": text}))
    translated_ports(copy.tables, frozenset())
    Literals([text])
    list(copy.limiting())


def _site(*more: Link) -> Site:
    return Site(
        links=(
            Link(name="lo", is_loopback=True, addresses=("127.0.0.1/8", "::1/128")),
            Link(name="eth0", addresses=("192.0.2.10/24", "2001:db8::10/64")),
            Link(name="docker0", kind="bridge", addresses=("172.17.0.1/16",)),
            *more,
        ),
        routes=(
            Route(to="0.0.0.0/0", link="eth0", via="192.0.2.1"),
            Route(to="::/0", link="eth0", via="fe80::1"),
            Route(to="10.244.3.7/32", link="cali1"),
        ),
    )


def test_probes_come_from_addresses_that_no_rule_names() -> None:
    """World sources are in the first network without a rule, neighbours are no gateway and no address of the node."""
    site = _site(Link(name="cali1"))
    rules = b"ip saddr { 81.169.0.0/16, 93.184.0.0-93.184.9.9, 0.0.0.0/0 } ip saddr 192.0.2.64/26 accept 10.244.0.0/16"
    found = {
        (one.zone, one.link.name, one.is_v6): one.sources for one in find_origins(site, Literals([rules]), tuple(Zone))
    }
    assert set(found) == {
        (Zone.WORLD, "eth0", False),
        (Zone.WORLD, "eth0", True),
        (Zone.NODES, "eth0", False),
        (Zone.NODES, "eth0", True),
        (Zone.PODS, "docker0", False),
        (Zone.PODS, "cali1", False),
    }
    assert all(one.startswith("62.113.") for one in found[Zone.WORLD, "eth0", False])
    assert len(set(found[Zone.WORLD, "eth0", False])) == 200
    neighbours = {ipaddress.ip_address(one) for one in found[Zone.NODES, "eth0", False]}
    assert neighbours
    assert not neighbours & {ipaddress.ip_address(f"192.0.2.{one}") for one in (0, 1, 10, 255, *range(64, 128))}
    assert found[Zone.PODS, "cali1", False] == ("10.244.3.7",)


def test_what_is_asked_for_is_what_can_be_sent() -> None:
    """Sockets on loopback only, and IPv6 for a socket of IPv4, are not asked for; a narrow `::` is for IPv6."""
    site = _site()
    listeners = (
        Listener(protocol="tcp", address="0.0.0.0", port=22),
        Listener(protocol="tcp", address="::", port=80, is_v6_only=True),
        Listener(protocol="udp", address="127.0.0.53", port=53),
        Listener(protocol="tcp", address="172.17.0.1", port=5000),
    )
    asked, left = plan(site, list(find_origins(site, Literals([]), (Zone.WORLD,))), listeners, {("tcp", 30000)})
    assert left == 0
    assert {(one.probe.address, one.probe.port, one.has_listener) for one in asked} == {
        ("192.0.2.10", 22, True),
        ("2001:db8::10", 80, True),
        ("192.0.2.10", 30000, False),
        ("2001:db8::10", 30000, False),
    }


def test_interfaces_and_routes_are_read_from_ip() -> None:
    """Link-local addresses and multicast routes are left out, and of several hops the first is taken."""
    rows: list[dict[str, Any]] = [
        {
            "ifname": "eth0",
            "flags": ["UP"],
            "link_type": "ether",
            "address": "02:00:00:00:00:09",
            "addr_info": [
                {"local": "192.0.2.10", "prefixlen": 24, "scope": "global"},
                {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
                {"local": "nonsense", "prefixlen": 64},
            ],
        },
        {"ifname": "br0", "flags": ["NO-CARRIER"], "linkinfo": {"info_kind": "bridge"}, "addr_info": []},
        {"ifindex": 3},
    ]
    links = read_links(rows)
    assert [(link.name, link.kind, link.mac, link.is_up, link.addresses) for link in links] == [
        ("eth0", "", "02:00:00:00:00:09", True, ("192.0.2.10/24",)),
        ("br0", "bridge", "", False, ()),
    ]
    routes: list[dict[str, Any]] = [
        {
            "dst": "default",
            "nexthops": [{"gateway": "192.0.2.1", "dev": "eth0"}, {"gateway": "192.0.2.2", "dev": "br0"}],
        },
        {"dst": "224.0.0.0/4", "dev": "eth0"},
        {"type": "blackhole", "dst": "10.0.0.0/8"},
        {"dst": "10.1.0.0/16", "via": {"family": "inet6", "host": "fe80::2"}, "dev": "eth0", "metric": 5},
    ]
    assert [route.command() for route in read_routes(routes, is_v6=False)] == [
        "0.0.0.0/0 via 192.0.2.1 dev eth0 onlink metric 0",
        "10.1.0.0/16 dev eth0 metric 5",
    ]
