"""Rules that cover others: what is said of them holds for every packet of a small model."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audit.checks.shadowed_rule import quiet_chains, shadows
from monitor.audit.findings import RuleRef
from monitor.audit.rules.matches import matches
from monitor.audit.rules.parse import parse_ruleset
from monitor.audit.ruleset import Chain, Rule
from tests.unit.audit.test_parse import chain, rule, ruleset

_PACKETS = [
    {"l4proto": protocol, "dport": port, "saddr": source, "state": state, "iifname": interface}
    for protocol, port, source, state, interface in itertools.product(
        ("tcp", "udp", "icmp"), (1, 2, 3, 4), (0x0A000001, 0x0A000002, 0x0B000001), ("new", "established"), ("lo", "e0")
    )
]
_SOURCES = {
    "10.0.0.1": {0x0A000001},
    "10.0.0.0/8": {0x0A000001, 0x0A000002},
    "10.0.0.1-10.0.0.2": {0x0A000001, 0x0A000002},
    "0.0.0.0/1": {0x0A000001, 0x0A000002, 0x0B000001},
}


def _source(text: str) -> Any:
    if "/" in text:
        address, _, length = text.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    return {"range": text.split("-")} if "-" in text else text


def _match(left: dict[str, Any], operator: str, right: Any) -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


_OPERATORS = st.sampled_from(["==", "!="])
_PORT_SETS = st.one_of(
    st.integers(1, 4),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).map(lambda two: {"range": sorted(two)}),
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(lambda ports: {"set": ports}),
)
_MATCHES = st.one_of(
    st.builds(
        lambda protocol, operator, ports: _match(
            {"payload": {"protocol": protocol, "field": "dport"}}, operator, ports
        ),
        st.sampled_from(["tcp", "udp", "th"]),
        _OPERATORS,
        _PORT_SETS,
    ),
    st.builds(
        lambda operator, source: _match({"payload": {"protocol": "ip", "field": "saddr"}}, operator, _source(source)),
        _OPERATORS,
        st.sampled_from(sorted(_SOURCES)),
    ),
    st.builds(
        lambda operator, names: _match({"meta": {"key": "l4proto"}}, operator, {"set": names}),
        _OPERATORS,
        st.lists(st.sampled_from(["tcp", "udp", "icmp"]), min_size=1, max_size=2),
    ),
    st.builds(
        lambda operator, name: _match({"meta": {"key": "iifname"}}, operator, name),
        _OPERATORS,
        st.sampled_from(["lo", "e0"]),
    ),
    st.builds(
        lambda operator, names: _match({"ct": {"key": "state"}}, operator, names),
        st.just("in"),
        st.lists(st.sampled_from(["new", "established"]), min_size=1, max_size=2),
    ),
)
_RULES = st.lists(
    st.tuples(st.lists(_MATCHES, min_size=1, max_size=2), st.sampled_from(["accept", "drop", "reject", "return", ""])),
    min_size=3,
    max_size=8,
)


def _holds(match: dict[str, Any], packet: dict[str, Any]) -> bool:
    """Decide a match on a packet, without the code under test."""
    left, operator, right = match["left"], match["op"], match["right"]
    kind, body = next(iter(left.items()))
    if kind == "payload" and body["field"] == "dport":
        if packet["l4proto"] != body["protocol"] and (body["protocol"] != "th" or packet["l4proto"] == "icmp"):
            return False
        ports = right
        if isinstance(ports, dict):
            ports = range(right["range"][0], right["range"][1] + 1) if "range" in right else right["set"]
        among = packet["dport"] in (ports if not isinstance(ports, int) else [ports])
    elif kind == "payload":
        text = right if isinstance(right, str) else ""
        if isinstance(right, dict):
            prefix = right.get("prefix")
            text = f"{prefix['addr']}/{prefix['len']}" if prefix else "-".join(right["range"])
        among = packet["saddr"] in _SOURCES[text]
    elif kind == "ct":
        among = packet["state"] in right
    elif body["key"] == "l4proto":
        among = packet["l4proto"] in right["set"]
    else:
        among = packet["iifname"] == right
    return among is not (operator == "!=")


@given(_RULES)
@settings(max_examples=400)
def test_no_packet_reaches_a_rule_that_is_called_shadowed(drawn: list[tuple[list[dict[str, Any]], str]]) -> None:
    """Every packet of the model that a shadowed rule matches is decided by an earlier rule of the chain."""
    items = [rule("c", *found, *([{verdict: None}] if verdict else [{"counter": None}])) for found, verdict in drawn]
    (read,) = parse_ruleset(ruleset(chain("c"), *items)).chains
    indexes = {id(one): number for number, one in enumerate(read.rules)}
    for shadowed, _ in shadows(read, frozenset()):
        number = indexes[id(shadowed)]
        for packet in _PACKETS:
            applies = [all(_holds(one["match"], packet) for one in found) for found, _ in drawn]
            if applies[number]:
                assert any(applies[i] and drawn[i][1] for i in range(number)), (drawn, number, packet)


def _rules(*expressions: list[Any]) -> Chain:
    items = [rule("c", *one) for one in expressions]
    return parse_ruleset(ruleset(chain("c"), *items)).chains[0]


def _dport(value: Any, protocol: str = "tcp", operator: str = "==") -> dict[str, Any]:
    return _match({"payload": {"protocol": protocol, "field": "dport"}}, operator, value)


def _input(name: str) -> dict[str, Any]:
    return _match({"meta": {"key": "iifname"}}, "==", name)


def _state(operator: str, names: Any) -> dict[str, Any]:
    return _match({"ct": {"key": "state"}}, operator, names)


_ACCEPT, _DROP = {"accept": None}, {"drop": None}


@pytest.mark.parametrize(
    ("earlier", "later", "is_shadowed"),
    [
        ([_dport({"range": [1, 1024]}), _DROP], [_dport(22), _ACCEPT], True),
        ([_dport({"set": [22, 80]}), _ACCEPT], [_dport(22), {"limit": {"rate": 1}}, _ACCEPT], True),
        ([_ACCEPT], [_dport("@ports"), _DROP], True),
        ([_dport({"range": [1, 1024]}), {"limit": {"rate": 1}}, _DROP], [_dport(22), _ACCEPT], False),
        ([_dport("@ports"), _DROP], [_dport(22), _ACCEPT], False),
        ([_dport(22, "udp"), _DROP], [_dport(22), _ACCEPT], False),
        ([_dport(22), {"counter": None}], [_dport(22), _ACCEPT], False),
        ([_dport(22), {"jump": {"target": "x"}}], [_dport(22), _ACCEPT], False),
        ([_dport(22), _ACCEPT], [{"counter": None}, _dport(22), _ACCEPT], False),
        ([_input("e*"), _DROP], [_input("e0"), _DROP], False),
        ([{"xt": {"type": "match", "name": "recent"}}, _DROP], [_dport(22), _ACCEPT], False),
        ([{"xt": {"type": "match", "name": "comment"}}, _DROP], [_dport(22), _ACCEPT], True),
        ([{"reject": {"type": "tcp reset"}}], [_dport(22, "udp"), _ACCEPT], False),
        ([{"reject": {"type": "tcp reset"}}], [_dport(22), _ACCEPT], True),
        ([_state("==", ["established", "related"]), _DROP], [_state("in", "related"), _DROP], False),
    ],
)  # fmt: skip
def test_what_covers_a_rule_and_what_does_not(earlier: list[Any], later: list[Any], is_shadowed: bool) -> None:
    """Only a rule that decides on all packets of a later one, and for sure, covers that."""
    assert [one for one, _ in shadows(_rules(earlier, later), frozenset())] == (
        [_rules(earlier, later).rules[1]] if is_shadowed else []
    )


def test_a_rule_in_between_that_changes_packets_ends_what_is_known() -> None:
    """A mark that is set, or a jump to a chain that sets one, may make packets match that did not before."""
    mark = _match({"meta": {"key": "mark"}}, "==", 1)
    setting = [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}]
    assert not list(shadows(_rules([mark, _DROP], setting, [mark, _ACCEPT]), frozenset()))
    for inner, count in ((setting, 0), ([{"counter": None}], 1)):
        text = ruleset(
            chain("c"),
            chain("sets"),
            rule("c", mark, _DROP),
            rule("c", {"jump": {"target": "sets"}}),
            rule("c", mark, _ACCEPT),
            rule("sets", *inner),
        )
        chains = parse_ruleset(text).chains
        found = next(one for one in chains if one.name == "c")
        assert len(list(shadows(found, quiet_chains(chains)["ip filter"]))) == count


@pytest.mark.parametrize(
    ("saved", "field", "holds", "lacks"),
    [
        ("-m conntrack --ctstate NEW,RELATED -j DROP", "ct state", "new", "established"),
        ("-p tcp -m multiport --dports 22,80:90 -j DROP", "th dport", 85, 91),
        ("-m mark --mark 0x10000/0x10000 -j DROP", "meta mark & 0x10000", 0x10000, 0),
        ("-m mark ! --mark 0x1 -j DROP", "meta mark", 2, 1),
    ],
)
def test_simple_matches_of_iptables_are_read_from_its_text(saved: str, field: str, holds: Any, lacks: Any) -> None:
    """States and several ports, which nft's JSON only names, are understood."""
    values = matches(_opaque(saved)).needed[field]
    assert values.holds(holds)
    assert not values.holds(lacks)


@pytest.mark.parametrize(
    "saved",
    [
        "-m conntrack ! --ctstate NEW -j DROP",
        "-m conntrack --ctstate NEW --ctstatus DNAT -j DROP",
        "-m conntrack --ctstate DNAT -j DROP",
        "-p tcp -m multiport ! --dports 22 -j DROP",
        "-p tcp -m multiport --ports 22 -j DROP",
        "-p tcp -m multiport --dports 22,x -j DROP",
        "-p tcp -m multiport --dports 22 -m multiport --dports 23 -j DROP",
        "-m conntrack --ctstate 'NEW -j DROP",
        "-m mark --mark x/0x1 -j DROP",
        "-m mark --mark 0x1/0xfffffffff -j DROP",
    ],
)
def test_other_matches_of_iptables_are_not_understood(saved: str) -> None:
    """A negation, more conditions and damaged text leave the rule matching nothing for sure."""
    assert matches(_opaque(saved)).sure is None


def _opaque(saved: str) -> Rule:
    name = saved.partition("-m ")[2].split()[0]
    xt = {"xt": {"type": "match", "name": name}}
    ref = RuleRef(family="ip", table="filter", chain="c")
    return Rule(ref=ref, expressions=(xt, {"drop": None}), saved=saved, verdict="drop", is_opaque=True)
