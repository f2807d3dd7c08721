"""The table: what it must hold for the promises made about it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.enforcers.netlink import DEL_ELEMENTS, DEL_TABLE, NLM_F_CREATE, attributes
from monitor.enforcers.nftables.chains import CHAINS, REFUSE, chains_for
from monitor.enforcers.nftables.definition import allowed, definition, part_names, replacement
from monitor.enforcers.nftables.messages import DEL_CHAIN, DEL_RULE, NEW_CHAIN, NEW_RULE
from monitor.enforcers.nftables.ruleset import BAN_SETS, COUNTERS, all_set_specs, set_name, set_specs
from monitor.enforcers.nftables.table_text import table_text
from monitor.model.addresses import network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Action

ALLOWLIST = [parse_network("10.0.0.0/8"), parse_network("fe80::/10")]
STEPS = [*definition(max_bans=1000), *allowed(ALLOWLIST)]


def _rules(chain: str) -> list[str]:
    """Return the rules of a chain as nft(8) prints them."""
    return [rule.text for found in CHAINS if found.name == chain for rule in found.rules]


def _of_ports(name: str) -> list[str]:
    """Return the drops of bans of some ports: by address, then by prefixes of each length that can be banned so."""
    return [
        f'{source} . meta l4proto . th dport @{name}{suffix} counter name "{name}{suffix[:1]}" drop'
        for source, suffix in (
            ("ip saddr", "4"),
            ("ip saddr & 255.255.255.0", "4_24"),
            ("ip6 saddr", "6"),
            ("ip6 saddr & ffff:ffff:ffff:ffff::", "6_64"),
            ("ip6 saddr & ffff:ffff:ffff:ff00::", "6_56"),
            ("ip6 saddr & ffff:ffff:ffff::", "6_48"),
        )
    ]


def test_the_ban_chain_is_exactly_this() -> None:
    """Loopback and the allow sets come first, then four drops that nothing limits, then those of some ports only."""
    assert _rules("ban") == [
        'iifname "lo" accept',
        "ip saddr @allow4 accept",
        "ip6 saddr @allow6 accept",
        'ip saddr @ban4 counter name "ban4" drop',
        'ip saddr @ban4_nets counter name "ban4_nets" drop',
        'ip6 saddr @ban6 counter name "ban6" drop',
        'ip6 saddr @ban6_nets counter name "ban6_nets" drop',
        *_of_ports("port_ban"),
    ]


ANSWERS = [
    "ct state established,related accept",
    "ct state untracked meta l4proto != tcp accept",
    "ct state untracked tcp flags rst,ack accept",
]
"""What may be an answer to a connection of the node's own."""


def test_the_shun_chain_is_exactly_this() -> None:
    """A forged address must cost us nothing: whatever may be an answer passes before the four drops."""
    assert _rules("shun") == [
        *_rules("ban")[:3],
        *ANSWERS,
        'ip saddr @shun4 counter name "shun4" drop',
        'ip saddr @shun4_nets counter name "shun4_nets" drop',
        'ip6 saddr @shun6 counter name "shun6" drop',
        'ip6 saddr @shun6_nets counter name "shun6_nets" drop',
        *_of_ports("port_shun"),
    ]


@pytest.mark.parametrize("hook", ["output", "forward"])
def test_the_egress_chains_are_exactly_this(hook: str) -> None:
    """Destinations count, never sources; loopback is believed only where nothing changed the destination since."""
    condition = "ct direction original"
    assert _rules(f"egress_{hook}") == [
        'oifname "lo" ct status ! dnat accept',
        "ip daddr @allow4 accept",
        "ip6 daddr @allow6 accept",
        f'{condition} ip daddr @egress4 counter name "egress4" drop',
        f'{condition} ip daddr @egress4_nets counter name "egress4_nets" drop',
        f'{condition} ip6 daddr @egress6 counter name "egress6" drop',
        f'{condition} ip6 daddr @egress6_nets counter name "egress6_nets" drop',
    ]


@pytest.mark.parametrize("hook", ["input", "forward"])
def test_the_leak_chains_count_and_note_but_never_drop(hook: str) -> None:
    """What they see is what the drop rules ask for, after the same exceptions, and a wrong guess costs nothing.

    Bans of some ports are not looked for: after destination NAT the port is another one.
    """
    rules = _rules(f"leak_{hook}")
    wanted = [rule for rule in (*_rules("ban"), *_rules("shun")[3:]) if "@port_" not in rule]
    assert [rule.partition(" counter ")[0] for rule in rules] == [rule.partition(" counter ")[0] for rule in wanted]
    counting = [rule for rule in rules if not rule.endswith("accept")]
    assert len(counting) == 8
    assert all(f'counter name "leak_{hook}" update @leaks' in rule for rule in counting)
    assert not any(word in rule for rule in rules for word in ("drop", "reject", "queue"))
    assert all(rule.endswith(("{ ip saddr }", "{ ip6 saddr }")) for rule in counting)


def test_bans_come_before_conntrack_shuns_before_nat_and_egress_after() -> None:
    """The hooks' priorities decide what each chain sees."""
    assert [(chain.name, chain.hook, chain.priority) for chain in CHAINS] == [
        ("ban", "prerouting", -310),
        ("shun", "prerouting", -160),
        ("egress_output", "output", -10),
        ("egress_forward", "forward", -10),
        ("leak_input", "input", 300),
        ("leak_forward", "forward", 300),
    ]


def _named(body: bytes) -> tuple[bytes, bytes]:
    """Return the table that a message is about, and what in it."""
    fields = dict(attributes(body, 4))
    return fields[1].rstrip(b"\0"), fields.get(2, b"").rstrip(b"\0")


def test_nothing_but_our_own_table_is_named() -> None:
    """No message reaches beyond the table, and no set of bans is ever flushed or deleted."""
    assert {(step.request.body[0], _named(step.request.body)[0]) for step in STEPS} == {(1, b"nodewarden")}
    flushed = [step for step in STEPS if not step.request.flags & NLM_F_CREATE]
    assert [(step.request.type, step.what.rpartition(" ")[2]) for step in flushed] == [
        *((DEL_RULE, name) for name in (REFUSE, *(chain.name for chain in CHAINS))),
        (DEL_CHAIN, REFUSE),
        (DEL_ELEMENTS, "allow4"),
        (DEL_ELEMENTS, "allow6"),
    ]


@pytest.mark.parametrize("name", list(BAN_SETS))
def test_each_set_has_a_timeout_a_size_and_a_counter(name: str) -> None:
    """Bans end by themselves, sets are bounded, and each drop is counted under the set's name."""
    spec = all_set_specs(1000)[name]
    assert spec == set_specs(1000)[name]
    assert (spec.has_timeouts, spec.counts) == (True, True)
    assert spec.size == (16384 if spec.interval else 1000)
    assert spec.interval == name.endswith("_nets")
    assert name in COUNTERS


REFUSING = chains_for(Action.REJECT)


def test_only_what_is_proven_or_our_own_is_answered() -> None:
    """Bans on proof, of ports too, and egress bans lead to answers; a shun never does: its source may be forged."""
    ends = {rule.text.replace(f"goto {REFUSE}", "drop"): rule.text for chain in REFUSING[1:] for rule in chain.rules}
    assert list(ends) == list(dict.fromkeys(rule.text for chain in CHAINS for rule in chain.rules))
    for before, now in ends.items():
        is_drop, is_shun = before.endswith(" drop"), "shun" in before
        assert (now != before) == (is_drop and not is_shun), now
    assert [(chain.name, chain.hook, chain.priority) for chain in REFUSING[1:]] == [
        (chain.name, chain.hook, chain.priority) for chain in CHAINS
    ]


def test_answers_are_limited_and_nothing_leaves_the_chain_accepted() -> None:
    """First the limit, which drops; then a reset for TCP; the last rule refuses all else."""
    assert (REFUSING[0].name, REFUSING[0].hook) == (REFUSE, "")
    assert [rule.text for rule in REFUSING[0].rules] == [
        "limit rate over 100/second burst 100 packets drop",
        "meta l4proto tcp reject with tcp reset",
        "reject with icmpx admin-prohibited",
    ]


def test_the_chain_of_answers_comes_and_goes_in_one_transaction() -> None:
    """A table that drops has no such chain, whatever was there before; and it is never taken for foreign."""
    drops = [(step.request.type, _named(step.request.body)[1]) for step in definition(max_bans=1000)]
    refuses = [step.what for step in definition(max_bans=1000, action=Action.REJECT)]
    kinds = [kind for kind, _ in drops]
    assert kinds.index(DEL_RULE) < kinds.index(NEW_RULE) < kinds.index(DEL_CHAIN) == len(kinds) - 1
    assert refuses.index(f"chain {REFUSE}") < next(i for i, what in enumerate(refuses) if f"goto {REFUSE}" in what)
    assert not any(what.startswith(f"the former chain {REFUSE}") for what in refuses)
    assert kinds.count(NEW_CHAIN) == len(CHAINS) + 1
    assert {f"chain {REFUSE}", f"rules of chain {REFUSE}"} < part_names()


def test_a_replacement_deletes_first() -> None:
    """Old table out and new table in, in one list, hence in one transaction."""
    first, *rest = (step.request for step in replacement(max_bans=1000, counters={}))
    assert first.type == DEL_TABLE
    assert rest == [step.request for step in definition(max_bans=1000)]


def test_the_documented_table_is_today_s() -> None:
    """`make docs` was run after the last change of the table."""
    assert table_text() in Path("docs/table.nft").read_text()


@given(
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(0, 128),
    st.sampled_from(Strength),
)
def test_every_network_has_a_set_of_its_kind(address: bytes, length: int, strength: Strength) -> None:
    """Family, prefix or host, and strength choose one of the twelve sets, and no two kinds share one."""
    network = network_of(address, min(length, len(address) * 8))
    name = set_name(network, strength)
    spec = set_specs(5)[name]
    assert BAN_SETS[name] == strength
    assert spec.key_bytes == len(address)
    assert spec.interval == (not network.is_host)
