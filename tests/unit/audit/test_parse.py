"""Rulesets as nft prints them, read: rules, verdicts, authors, digests."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audit.rules.parse import MalformedRulesetError, parse_ruleset
from monitor.audit.ruleset import Author, Ruleset

_SSH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}
_XT = {"xt": {"type": "match", "name": "comment"}}


def ruleset(*items: dict[str, Any]) -> bytes:
    """Return items as nft prints them."""
    return json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *items]}).encode()


def chain(name: str, table: str = "filter", **fields: Any) -> dict[str, Any]:
    return {"chain": {"family": "ip", "table": table, "name": name, "handle": 1, **fields}}


def rule(name: str, *expressions: Any, table: str = "filter", handle: int = 7) -> dict[str, Any]:
    return {"rule": {"family": "ip", "table": table, "chain": name, "handle": handle, "expr": list(expressions)}}


def test_a_rule_is_read_with_its_verdict_counter_and_text() -> None:
    """A chain has its hook and policy; a rule its text in nft's syntax, verdict, packets and handle."""
    text = ruleset(
        chain("INPUT", type="filter", hook="input", prio=0, policy="drop"),
        rule("INPUT", _SSH, {"counter": {"packets": 3, "bytes": 180}}, {"accept": None}),
        rule("INPUT", {"jump": {"target": "other"}}),
        {"set": {"family": "ip", "table": "filter", "name": "s", "type": "ipv4_addr", "elem": ["1.2.3.4"] * 9}},
        {"map": {"family": "ip", "table": "t", "name": "m", "type": "inet_service", "elem": [[80, {"drop": None}]]}},
    )
    read = parse_ruleset(text)
    (found,) = read.chains
    assert (found.hook, found.policy, found.type) == ("input", "drop", "filter")
    first, second = found.rules
    assert (first.ref.text, first.verdict, first.packets, first.ref.handle) == ("tcp dport 22 accept", "accept", 3, 7)
    assert (second.verdict, second.target, second.packets) == ("jump other", "other", None)
    assert read.maps[0].elements == ((80, {"drop": None}),)
    assert read.nft_version == "1.0.6"


@pytest.mark.parametrize(
    ("table", "name", "author"),
    [
        ("filter", "KUBE-SERVICES", Author.KUBE_PROXY),
        ("filter", "KUBE-ROUTER-INPUT", Author.CNI),
        ("filter", "cali-INPUT", Author.CNI),
        ("filter", "FLANNEL-FWD", Author.CNI),
        ("filter", "CILIUM_INPUT", Author.CNI),
        ("filter", "OLD_CILIUM_INPUT", Author.CNI),
        ("nat", "CNI-HOSTPORT-DNAT", Author.CNI),
        ("filter", "DOCKER-USER", Author.DOCKER),
        ("filter", "ufw-user-input", Author.UFW),
        ("filter", "ufw6-user-input", Author.UFW),
        ("filter", "f2b-sshd", Author.FAIL2BAN),
        ("filter", "LIBVIRT_INP", Author.LIBVIRT),
        ("filter", "NETAVARK_FORWARD", Author.PODMAN),
        ("filter", "CROWDSEC_CHAIN", Author.CROWDSEC),
        ("filter", "INPUT_ZONES", Author.FIREWALLD),
        ("filter", "IN_public_allow", Author.FIREWALLD),
        ("filter", "INPUT", Author.OPERATOR),
        ("kube-proxy", "services", Author.KUBE_PROXY),
        ("flannel-ipv4", "postrtg", Author.CNI),
        ("nodewarden", "ban", Author.NODEWARDEN),
        ("firewalld", "filter_INPUT", Author.FIREWALLD),
        ("f2b-table", "f2b-chain", Author.FAIL2BAN),
        ("my-docker", "input", Author.OPERATOR),
    ],
)
def test_programs_are_known_by_the_names_that_they_give(table: str, name: str, author: Author) -> None:
    """The author of a chain follows from its table and name."""
    assert parse_ruleset(ruleset(chain(name, table))).chains[0].author is author


def test_rules_that_programs_add_to_the_operators_chains_are_theirs() -> None:
    """A jump to kube-proxy's chain, docker's bridge, and kubelet's comment tell whose a rule is."""
    docker = {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "docker0"}}
    text = ruleset(
        rule("INPUT", {"jump": {"target": "KUBE-SERVICES"}}),
        rule("INPUT", docker, {"accept": None}),
        rule("INPUT", _XT, {"accept": None}),
        rule("INPUT", _SSH, {"accept": None}),
    )
    saved = (
        b"*filter\n-A INPUT -j KUBE-SERVICES\n-A INPUT -o docker0 -j ACCEPT\n"
        b'-A INPUT -m comment --comment "kubernetes firewall" -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\n'
    )
    authors = [one.author for one in parse_ruleset(text, {"ip": saved}).chains[0].rules]
    assert authors == [Author.KUBE_PROXY, Author.DOCKER, Author.KUBE_PROXY, Author.OPERATOR]


def test_what_iptables_hides_comes_from_its_own_text() -> None:
    """A rule with a match of iptables is opaque and has the text of iptables-save, if that lists as many rules."""
    recent = {"xt": {"type": "match", "name": "recent"}}
    text = ruleset(rule("INPUT", _SSH, recent, {"xt": {"type": "target", "name": "REJECT"}}), rule("INPUT", _XT))
    saved = b"*filter\n-A INPUT -p tcp --dport 22 -m recent --set -j REJECT\n-A INPUT -m comment --comment hi\n"
    opaque, comment = parse_ruleset(text, {"ip": saved}).chains[0].rules
    assert (opaque.is_opaque, opaque.verdict) == (True, "reject")
    assert opaque.ref.text == "-p tcp --dport 22 -m recent --set -j REJECT"
    assert not comment.is_opaque
    opaque, _ = parse_ruleset(text, {"ip": saved.replace(b"-A INPUT -m", b"-A OTHER -m")}).chains[0].rules
    assert opaque.ref.text == "tcp dport 22 xt match recent xt target REJECT"


def test_a_digest_ignores_counters_handles_order_in_sets_and_foreign_rules() -> None:
    """Traffic, a reload and kube-proxy's rules leave the digest; another rule, policy or order of rules changes it."""

    def digest(*rules: dict[str, Any], policy: str = "drop") -> str:
        return parse_ruleset(
            ruleset(chain("INPUT", type="filter", hook="input", prio=0, policy=policy), *rules)
        ).digests["ip filter"]

    def ports(*values: int) -> dict[str, Any]:
        left = {"payload": {"protocol": "tcp", "field": "dport"}}
        return {"match": {"op": "==", "left": left, "right": {"set": list(values)}}}

    def counter(packets: int) -> dict[str, Any]:
        return {"counter": {"packets": packets, "bytes": packets * 60}}

    accept, drop = {"accept": None}, {"drop": None}
    before = digest(rule("INPUT", ports(22, 80), counter(1), accept), rule("INPUT", _SSH, drop))
    same = digest(
        rule("INPUT", {"jump": {"target": "KUBE-NODEPORTS"}}),
        rule("INPUT", ports(80, 22), counter(9), accept, handle=99),
        rule("INPUT", _SSH, drop, handle=100),
    )
    assert same == before
    rules = (rule("INPUT", ports(22, 80), counter(1), accept), rule("INPUT", _SSH, drop))
    assert digest(*rules, policy="accept") != before
    assert digest(*reversed(rules)) != before
    assert digest(rule("INPUT", ports(22, 81), counter(1), accept), rules[1]) != before


_KEYS = (
    *("nftables", "rule", "chain", "table", "map", "set", "expr", "elem", "match", "op", "left", "right", "payload"),
    *("meta", "key", "field", "protocol", "xt", "type", "name", "jump", "target", "counter", "packets", "vmap", "data"),
    *("prefix", "addr", "len", "range", "concat", "family", "handle"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**70) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=3), st.lists(_JSON, max_size=4))
@settings(max_examples=150)
def test_any_json_gives_a_ruleset_or_a_clear_error(items: list[Any], expressions: list[Any]) -> None:
    """Whatever the text holds, it is read or refused, never anything else; the same for any expression in a rule."""
    for text in (json.dumps({"nftables": items}).encode(), ruleset(rule("INPUT", *expressions))):
        try:
            assert isinstance(parse_ruleset(text, {"ip": text}), Ruleset)
        except MalformedRulesetError as error:
            assert "cannot be read" in str(error)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"nftables": 1}', b"[" * 100_000])
def test_what_is_no_ruleset_is_refused(text: bytes) -> None:
    """Cut, empty, foreign and deeply nested text is an error that says so."""
    with pytest.raises(MalformedRulesetError, match="cannot be read"):
        parse_ruleset(text)
