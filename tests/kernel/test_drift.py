"""Changes of our table by others, made with nft(8), and our own, as the watch tells them apart."""

import contextlib
import os
import select
import time
from collections.abc import Iterator

import pytest

from monitor.audit.rules.authors import is_settled
from monitor.enforcers.nftables.drift import Drift, DriftKind, DriftWatch
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.rule_changes import RuleChanges
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import WORDS, Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

PROVEN, SPOOFABLE = Strength.PROVEN, Strength.SPOOFABLE
NETWORKS = ["192.0.2.1", "198.51.100.0/24", "240.0.0.0/4", "2001:db8::1", "2001:db8:1::/48"]


def _ban(text: str, until_s: float = 1000, strength: Strength = PROVEN) -> Ban:
    return Ban(parse_network(text), strength, since_s=0, until_s=until_s, detector="test", reason="test")


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file."""
    with Lab("node", label="drift") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def enforcer(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an enforcer whose table holds a few bans."""
    enforcer = NftablesEnforcer(max_bans=100_000)
    enforcer.flush()
    enforcer.setup([parse_network("10.0.0.0/8")])
    enforcer.add([_ban(text) for text in NETWORKS], now_s=0)
    yield enforcer
    enforcer.close()


@pytest.fixture
def watch(enforcer: NftablesEnforcer) -> Iterator[DriftWatch]:
    """Watch from after the set-up on."""
    with contextlib.closing(DriftWatch(enforcer.ports)) as watch:
        yield watch


def _read(watch: DriftWatch) -> list[Drift]:
    found: list[Drift] = []
    while select.select([watch], [], [], 0)[0]:
        found += watch.read()
    return found


def _nft(node: Host, *arguments: str) -> None:
    node.run("nft", *arguments)


def _first_handle(node: Host, chain: str) -> str:
    listed = node.run("nft", "-a", "list", "chain", "inet", "nodewarden", chain).stdout
    return next(line.split()[-1] for line in listed.splitlines() if "drop" in line)


def test_our_own_changes_are_no_drift(enforcer: NftablesEnforcer, watch: DriftWatch) -> None:
    """Set-up, replacement of the table, bans in and out, a reopened socket: nothing is told."""
    enforcer.setup([parse_network("10.0.0.0/8"), parse_network("fe80::/10")])
    enforcer.add([_ban("203.0.113.1"), _ban("203.0.113.0/24"), _ban("203.0.113.128/25", 2000)], now_s=0)
    enforcer.refresh([_ban(text, 3000) for text in NETWORKS], now_s=0)
    enforcer.set_allowlist([parse_network("10.1.0.0/16")])
    enforcer.remove([(parse_network(text), PROVEN) for text in NETWORKS])
    enforcer.close()
    enforcer.add([_ban("203.0.113.7")], now_s=0)
    enforcer.flush()
    enforcer.setup([])
    assert _read(watch) == []


def test_an_element_that_ends_by_itself_is_no_drift(enforcer: NftablesEnforcer, watch: DriftWatch, node: Host) -> None:
    """The kernel says nothing of timeouts, in hash and interval sets, even while it clears the ended ones away."""
    enforcer.add([_ban("203.0.113.1", 0.05), _ban("203.0.113.0/24", 0.05)], now_s=0)
    deadline = time.monotonic() + 10
    while "203.0.113" in node.run("nft", "list", "table", "inet", "nodewarden").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    enforcer.add([_ban("203.0.113.2"), _ban("203.0.112.0/24")], now_s=0)
    assert _read(watch) == []


def test_a_table_that_is_put_to_sleep_is_told_and_woken(
    enforcer: NftablesEnforcer, watch: DriftWatch, node: Host
) -> None:
    """All rules are still listed, but none is in force: that is a change of the rules, and set-up ends it."""
    _nft(node, "add table inet nodewarden { flags dormant; }")
    assert "flags dormant" in node.run("nft", "list", "table", "inet", "nodewarden").stdout
    assert [drift.kind for drift in _read(watch)] == [DriftKind.RULES_CHANGED]
    enforcer.setup([])
    assert "dormant" not in node.run("nft", "list", "table", "inet", "nodewarden").stdout
    assert len(enforcer.elements()) == len(NETWORKS)
    assert _read(watch) == []


@pytest.mark.parametrize("command", ["flush ruleset", "delete table inet nodewarden"])
def test_a_table_that_is_deleted_is_told_once_with_who_did_it(watch: DriftWatch, node: Host, command: str) -> None:
    """Of all the messages about what went with it, one remains."""
    process = node.start("nft", command)
    assert process.wait(10) == 0
    (drift,) = _read(watch)
    assert drift.kind is DriftKind.TABLE_GONE
    assert drift.author is not None
    assert (drift.author.name, drift.author.pid) == ("nft", process.pid)


@pytest.mark.parametrize("text", NETWORKS)
@pytest.mark.parametrize("strength", Strength)
def test_an_element_is_told_by_its_network(
    enforcer: NftablesEnforcer, watch: DriftWatch, node: Host, text: str, strength: Strength
) -> None:
    """Deleting or adding one by hand names network and strength, for hosts, prefixes and those without an end."""
    name = f"{WORDS[strength]}{'6' if ':' in text else '4'}{'_nets' if '/' in text else ''}"
    if strength is PROVEN:
        _nft(node, "delete", "element", "inet", "nodewarden", name, f"{{ {text} }}")
    else:
        _nft(node, "add", "element", "inet", "nodewarden", name, f"{{ {text} timeout 1h }}")
    kind = DriftKind.ELEMENT_GONE if strength is PROVEN else DriftKind.ELEMENT_ADDED
    (drift,) = _read(watch)
    assert (drift.kind, drift.network, drift.strength) == (kind, parse_network(text), strength)


def test_a_range_that_is_no_prefix_is_told_without_a_network(watch: DriftWatch, node: Host) -> None:
    """It cannot be a ban of ours, but the table is not as it was."""
    _nft(node, "add", "element", "inet", "nodewarden", "ban4_nets", "{ 203.0.113.1-203.0.113.5 timeout 1h }")
    assert [(d.kind, d.network) for d in _read(watch)] == [(DriftKind.ELEMENT_ADDED, None)]


def test_a_flushed_set_tells_every_element(enforcer: NftablesEnforcer, watch: DriftWatch, node: Host) -> None:
    """Each prefix is named, whatever the order and however many datagrams it takes; too many are an overrun."""
    _nft(node, "flush", "set", "inet", "nodewarden", "ban4_nets")
    gone: set[Network | None] = {drift.network for drift in _read(watch)}
    assert gone == {parse_network("198.51.100.0/24"), parse_network("240.0.0.0/4")}
    enforcer.setup([])
    enforcer.add([_ban(f"10.{n >> 8}.{n & 255}.0/24") for n in range(1000)], now_s=0)
    _nft(node, "flush", "set", "inet", "nodewarden", "ban4_nets")
    assert len(_read(watch)) == 1000
    enforcer.add([_ban(f"10.0.{n >> 8}.{n & 255}") for n in range(10_000)], now_s=0)
    _nft(node, "flush", "set", "inet", "nodewarden", "ban4")
    assert [drift.kind for drift in _read(watch)] == [DriftKind.OVERRUN]


def test_changed_rules_chains_sets_and_counters_are_told(watch: DriftWatch, node: Host) -> None:
    """Whatever is done to the rules is one notice a transaction; the allow sets are told apart."""
    table = ("inet", "nodewarden")
    for command in (
        ("delete", "rule", *table, "ban", "handle", _first_handle(node, "ban")),
        ("insert", "rule", *table, "ban", "accept"),
        ("flush", "chain", *table, "shun"),
        ("delete", "chain", *table, "shun"),
        ("add", "chain", *table, "mine"),
        ("add", "counter", *table, "mine"),
        ("add", "set", *table, "mine", "{ type ipv4_addr; }"),
    ):
        _nft(node, *command)
        assert [drift.kind for drift in _read(watch)] == [DriftKind.RULES_CHANGED], command
    for text in ("flush set inet nodewarden allow4", "add element inet nodewarden allow4 { 0.0.0.0/1 }"):
        _nft(node, text)
        assert [drift.kind for drift in _read(watch)] == [DriftKind.ALLOW_CHANGED], text


def test_other_tables_are_nobodys_business(watch: DriftWatch, node: Host) -> None:
    """A table of our name in another family, and sets of our names elsewhere, are skipped."""
    node.nft("table ip nodewarden { set ban4 { type ipv4_addr; elements = { 1.1.1.1 }\n }\n }\n"
             "table inet nodewarden2 { chain ban { type filter hook input priority 0; drop\n }\n }\n")  # fmt: skip
    node.nft("delete table ip nodewarden\ndelete table inet nodewarden2\n")
    assert _read(watch) == []


def test_in_a_burst_of_other_changes_ours_is_seen_or_an_overrun(watch: DriftWatch, node: Host) -> None:
    """20,000 changes of another table, nobody reading, and one of ours in their midst: it is never just lost."""
    node.nft("table ip other { set s { type ipv4_addr; }\n }\n")
    adds = "".join(f"add element ip other s {{ 10.0.{n >> 8}.{n & 255} }}\n" for n in range(10_000))
    node.nft(adds)
    _nft(node, "delete", "element", "inet", "nodewarden", "ban4", "{ 192.0.2.1 }")
    node.nft(adds.replace("{ 10.0", "{ 10.1"))
    kinds = {drift.kind for drift in _read(watch)}
    assert kinds & {DriftKind.ELEMENT_GONE, DriftKind.OVERRUN}
    _nft(node, "flush", "chain", "inet", "nodewarden", "ban")
    assert [drift.kind for drift in _read(watch)] == [DriftKind.RULES_CHANGED]
    node.nft("delete table ip other\n")


def test_lost_notices_are_an_overrun(enforcer: NftablesEnforcer, watch: DriftWatch, node: Host) -> None:
    """With a full buffer the first thing said is that nothing is known, and what comes later is told again."""
    watch._socket.setsockopt(1, 33, 4096)  # SOL_SOCKET, SO_RCVBUFFORCE
    for _ in range(2):
        enforcer.add([_ban(f"10.0.{n >> 8}.{n & 255}") for n in range(5_000)], now_s=0)
        enforcer.remove([(parse_network(f"10.0.{n >> 8}.{n & 255}"), PROVEN) for n in range(5_000)])
    assert DriftKind.OVERRUN in {drift.kind for drift in _read(watch)}
    _nft(node, "flush", "chain", "inet", "nodewarden", "ban")
    assert [drift.kind for drift in _read(watch)] == [DriftKind.RULES_CHANGED]


def test_another_instance_in_our_process_is_somebody_else(enforcer: NftablesEnforcer, watch: DriftWatch) -> None:
    """Only the port counts, not the process: what another enforcer does is told, as if it were another daemon."""
    with contextlib.closing(NftablesEnforcer(max_bans=100_000)) as other:
        other.add([_ban("203.0.113.9")], now_s=0)
    (drift,) = _read(watch)
    assert drift.kind is DriftKind.ELEMENT_ADDED
    assert drift.author is not None
    assert drift.author.pid == os.getpid()


def test_who_changes_rules_of_other_tables_is_noted_but_not_the_churn_of_kubernetes(
    node: Host, enforcer: NftablesEnforcer
) -> None:
    """A table has the process and how often it changed; kube-proxy's chains, our table and sets do not count."""
    node.run("iptables-nft", "-P", "INPUT", "ACCEPT")  # makes the table
    changes = RuleChanges(is_settled)
    with contextlib.closing(DriftWatch(enforcer.ports, changes)) as watch:
        node.nft("table inet mine { set s { type ipv4_addr; }; chain input { type filter hook input priority 0; }; }")
        node.run("iptables-nft", "-N", "KUBE-SERVICES")
        node.run("iptables-nft", "-A", "KUBE-SERVICES", "-p", "tcp", "--dport", "80", "-j", "ACCEPT")
        _nft(node, "add", "element", "inet", "mine", "s", "{ 192.0.2.7 }")
        _nft(node, "add", "table", "ip", "kube-proxy")
        enforcer.add([_ban("203.0.113.77")], now_s=0)
        _read(watch)
        assert [(one.table, one.process, one.count) for one in changes.listed()] == [("inet mine", "nft", 1)]
        before = time.time()
        _nft(node, "add", "rule", "inet", "mine", "input", "tcp", "dport", "8080", "accept")
        node.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "81", "-j", "ACCEPT")
        drifts = _read(watch)
        assert not drifts
        mine, filter_ = changes.listed()
        assert (mine.table, mine.process, mine.count, mine.pid > 1) == ("inet mine", "nft", 2, True)
        assert mine.first_s <= before <= mine.last_s
        assert (filter_.table, filter_.process.startswith("iptables")) == ("ip filter", True)
        _nft(node, "flush", "ruleset")
        _read(watch)
        assert sorted((one.table, one.process, one.count) for one in changes.listed()) == [
            ("inet mine", "nft", 3),
            ("ip filter", filter_.process, 1),
            ("ip filter", "nft", 1),
        ]
