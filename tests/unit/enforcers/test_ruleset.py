"""The text of the table: what it must hold for the promises made about it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.enforcers.nftables.ruleset import BAN_SETS, Element, set_name, set_specs, setup_text
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import network_of, parse_network
from monitor.model.alerts import Strength

TEXT = setup_text(max_bans=1000, allowlist=[parse_network("10.0.0.0/8"), parse_network("fe80::/10")])


def _rules(chain: str) -> list[str]:
    """Return the rules of a chain: its last block, after the flush."""
    block = TEXT[TEXT.rindex(f"chain {chain} {{") :]
    return [line.strip() for line in block.split("\n")[1 : block.split("\n").index("  }")]]


def test_the_ban_chain_is_exactly_this() -> None:
    """Loopback and the allow sets come first, then four drops that nothing limits."""
    assert _rules("ban") == [
        'iifname "lo" accept',
        "ip saddr @allow4 accept",
        "ip6 saddr @allow6 accept",
        "ip saddr @ban4 counter name ban4 drop",
        "ip saddr @ban4_nets counter name ban4_nets drop",
        "ip6 saddr @ban6 counter name ban6 drop",
        "ip6 saddr @ban6_nets counter name ban6_nets drop",
    ]


ANSWERS = [
    "ct state established,related accept",
    "ct state untracked meta l4proto != tcp accept",
    "ct state untracked tcp flags & (ack | rst) != 0x0 accept",
]
"""What may be an answer to a connection of the node's own."""


def test_the_shun_chain_is_exactly_this() -> None:
    """A forged address must cost us nothing: whatever may be an answer passes before the four drops."""
    assert _rules("shun") == [
        *_rules("ban")[:3],
        *ANSWERS,
        "ip saddr @shun4 counter name shun4 drop",
        "ip saddr @shun4_nets counter name shun4_nets drop",
        "ip6 saddr @shun6 counter name shun6 drop",
        "ip6 saddr @shun6_nets counter name shun6_nets drop",
    ]


@pytest.mark.parametrize("hook", ["output", "forward"])
def test_the_egress_chains_are_exactly_this(hook: str) -> None:
    """Destinations count, never sources; loopback is believed only where nothing changed the destination since."""
    condition = "ct direction original"
    assert _rules(f"egress_{hook}") == [
        'oifname "lo" ct status & dnat == 0 accept',
        "ip daddr @allow4 accept",
        "ip6 daddr @allow6 accept",
        f"{condition} ip daddr @egress4 counter name egress4 drop",
        f"{condition} ip daddr @egress4_nets counter name egress4_nets drop",
        f"{condition} ip6 daddr @egress6 counter name egress6 drop",
        f"{condition} ip6 daddr @egress6_nets counter name egress6_nets drop",
    ]


@pytest.mark.parametrize("hook", ["input", "forward"])
def test_the_leak_chains_count_and_note_but_never_drop(hook: str) -> None:
    """What they see is what the drop rules ask for, after the same exceptions, and a wrong guess costs nothing."""
    rules = _rules(f"leak_{hook}")
    wanted = [*_rules("ban"), *_rules("shun")[3:]]
    assert [rule.partition(" counter ")[0] for rule in rules] == [rule.partition(" counter ")[0] for rule in wanted]
    counting = [rule for rule in rules if not rule.endswith("accept")]
    assert len(counting) == 8
    assert all(f"counter name leak_{hook} update @leaks" in rule for rule in counting)
    assert not any(word in rule for rule in rules for word in ("drop", "reject", "queue"))
    assert all(rule.endswith(("{ ip saddr }", "{ ip6 saddr }")) for rule in counting)


def test_bans_come_before_conntrack_shuns_before_nat_and_egress_after() -> None:
    """The hooks' priorities decide what each chain sees."""
    hooks = re.findall(r"chain (\w+) \{\n    (type filter.*)", TEXT)
    assert hooks == [
        ("ban", "type filter hook prerouting priority raw - 10; policy accept;"),
        ("shun", "type filter hook prerouting priority mangle - 10; policy accept;"),
        ("egress_output", "type filter hook output priority filter - 10; policy accept;"),
        ("egress_forward", "type filter hook forward priority filter - 10; policy accept;"),
        ("leak_input", "type filter hook input priority 300; policy accept;"),
        ("leak_forward", "type filter hook forward priority 300; policy accept;"),
    ]


def test_nothing_but_our_own_table_is_named() -> None:
    """No command reaches beyond the table, and no set of bans is ever flushed or deleted."""
    commands = [line for line in TEXT.split("\n") if line and not line.startswith((" ", "}"))]
    assert all("inet nodewarden" in command for command in commands)
    flushed = [command for command in commands if command.startswith(("flush", "delete"))]
    assert flushed == [
        "flush chain inet nodewarden ban",
        "flush chain inet nodewarden shun",
        "flush chain inet nodewarden egress_output",
        "flush chain inet nodewarden egress_forward",
        "flush chain inet nodewarden leak_input",
        "flush chain inet nodewarden leak_forward",
        "flush set inet nodewarden allow4",
        "flush set inet nodewarden allow6",
    ]


@pytest.mark.parametrize("name", list(BAN_SETS))
def test_each_set_has_a_timeout_a_size_and_a_counter(name: str) -> None:
    """Bans end by themselves, sets are bounded, and each drop is counted under the set's name."""
    block = TEXT[TEXT.index(f"  set {name} {{") :].split("}")[0]
    spec = set_specs(1000)[name]
    assert "timeout" in block
    assert ("interval" in block) == name.endswith("_nets") == spec.interval
    assert f"size {spec.size}" in block
    assert "\n    counter\n" in block
    assert f"  counter {name} {{" in TEXT


def test_a_replacement_deletes_first_and_carries_bans_and_counters() -> None:
    """Old table out and new table with its bans in: one text, hence one transaction."""
    text = setup_text(
        max_bans=9,
        allowlist=[],
        replace=True,
        elements=[
            Element(parse_network("192.0.2.1"), Strength.PROVEN, 90001.5, 3, 120),
            Element(parse_network("2001:db8::/32"), Strength.SPOOFABLE, None, 0, 0),
        ],
        counters={"ban4": Stopped(7, 420)},
    )
    assert text.startswith("delete table inet nodewarden\n")
    assert "counter ban4 {\n    packets 7 bytes 420\n" in text
    assert "add element inet nodewarden ban4 { 192.0.2.1 counter packets 3 bytes 120 timeout 1d3601s500ms }" in text
    assert "add element inet nodewarden shun6_nets { 2001:db8::/32 counter packets 0 bytes 0 }" in text


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
