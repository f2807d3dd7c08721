"""What others change in the table is found without any notification: each part is compared with what it should be."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from monitor.bans.ledger import Ledger
from monitor.daemon.life.table_watch import TableWatch
from monitor.enforcers.nftables.contents import MAX_FOREIGN, Reading
from monitor.enforcers.nftables.drift import DriftKind
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.fingerprint import differences, read_definition, strangers
from monitor.enforcers.nftables.keeper import ALLOWLIST, DEFINITION, PARTS, TableKeeper
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

PROVEN, SPOOFABLE = Strength.PROVEN, Strength.SPOOFABLE
ALLOWED = ["10.0.0.0/8", "10.88.0.0/16", "192.168.0.0/24", "192.168.1.0/25", "fd00::/8"]
BANNED = ["192.0.2.1", "192.0.2.2", "198.51.100.0/24", "240.0.0.0/4", "2001:db8::1", "2001:db8:1::/48"]
T = "inet nodewarden"
SHORTENED = (("delete", ""), ("add", " timeout 2m"))


class Kept:
    """A table with a few bans, and what keeps it; nobody listens to notifications."""

    def __init__(self, node: Host) -> None:
        self.node = node
        self.enforcer = NftablesEnforcer(max_bans=20_000)
        self.enforcer.flush()
        self.ledger = Ledger(max_bans=20_000)
        self.table = NftablesTable(self.enforcer, self.ledger, [parse_network(text) for text in ALLOWED])
        self.keeper = TableKeeper(self.table, self.enforcer, self.ledger)
        self.changes: Counter[tuple[str, str]] = Counter()
        self.table.on_drift = self.changes.update
        self.ban(*BANNED)

    def ban(self, *texts: str, bantime_s: float = 1000, strength: Strength = PROVEN) -> None:
        """Put bans in force, in kernel and ledger."""
        now_s = time.time()
        bans = [Ban(parse_network(text), strength, now_s, now_s + bantime_s, "test", "test") for text in texts]
        assert self.table.add(bans, now_s) == []
        for ban in bans:
            self.ledger.put(ban, now_s)

    def compare(self) -> list[str]:
        """Compare all parts; return the kinds of changes that were found."""
        self.changes.clear()
        for part in PARTS:
            for _ in self.keeper.judge(part, self.keeper.read(part, self.keeper.snapshot()), time.time()):
                pass
        return sorted(kind for kind, _ in self.changes)

    def listing(self) -> list[str]:
        """Return the lines that nft prints of the table, without what changes by itself; parts may be in any order."""
        text = self.node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout
        return sorted(line for line in text.splitlines() if " timeout " not in line)

    def content(self) -> dict[tuple[str, Strength], int]:
        """Return network and strength of all elements with their minutes left."""
        return {(str(one.network), one.strength): round((one.timeout_s or 0) / 60) for one in self.enforcer.elements()}


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file."""
    with Lab("node", label="compare") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def kept(node: Host) -> Iterator[Kept]:
    """Yield a table that is as it should be."""
    kept = Kept(node)
    yield kept
    kept.enforcer.flush()
    kept.enforcer.close()


CHANGES = {
    "rule deleted": (f"delete rule {T} ban handle RULE", DriftKind.RULES_CHANGED),
    "rule added": (f"insert rule {T} ban ip saddr 192.0.2.1 accept", DriftKind.RULES_CHANGED),
    "rule changed": (f"replace rule {T} ban handle RULE counter accept", DriftKind.RULES_CHANGED),
    "rules flushed": (f"flush chain {T} shun", DriftKind.RULES_CHANGED),
    "chain's policy": (f"add chain {T} egress_output {{ policy drop; }}", DriftKind.RULES_CHANGED),
    "chain's hook and priority": (
        f"delete chain {T} shun; add chain {T} shun {{ type filter hook input priority 77; }}",
        DriftKind.RULES_CHANGED,
    ),
    "chain deleted": (f"delete chain {T} leak_input", DriftKind.RULES_CHANGED),
    "foreign chain": (
        f"add chain {T} mine {{ type filter hook input priority 0; policy drop; }}",
        DriftKind.RULES_CHANGED,
    ),
    "set deleted": (f"flush chain {T} egress_output; flush chain {T} egress_forward; delete set {T} egress6",
                    DriftKind.RULES_CHANGED),
    "foreign set": (f"add set {T} mine {{ type ipv4_addr; }}", DriftKind.RULES_CHANGED),
    "foreign map": (f"add map {T} mine {{ type ipv4_addr : verdict; }}", DriftKind.RULES_CHANGED),
    "counter deleted": (f"flush chain {T} shun; delete counter {T} shun4", DriftKind.RULES_CHANGED),
    "table dormant": (f"add table {T} {{ flags dormant; }}", DriftKind.RULES_CHANGED),
    "table deleted": (f"delete table {T}", DriftKind.TABLE_GONE),
    "ruleset flushed": ("flush ruleset", DriftKind.TABLE_GONE),
    "allowed added": (f"add element {T} allow4 {{ 0.0.0.0/5 }}", DriftKind.ALLOW_CHANGED),
    "allowed removed": (f"delete element {T} allow4 {{ 192.168.1.0/25 }}", DriftKind.ALLOW_CHANGED),
    "allowed flushed": (f"flush set {T} allow6", DriftKind.ALLOW_CHANGED),
    "prefix removed": (f"delete element {T} ban4_nets {{ 198.51.100.0/24 }}", DriftKind.ELEMENT_GONE),
    "prefix without an end removed": (f"delete element {T} ban4_nets {{ 240.0.0.0/4 }}", DriftKind.ELEMENT_GONE),
    "prefixes flushed": (f"flush set {T} ban6_nets", DriftKind.ELEMENT_GONE),
    "prefix shortened": (
        "; ".join(f"{what} element {T} ban4_nets {{ 198.51.100.0/24{end} }}" for what, end in SHORTENED),
        DriftKind.ELEMENT_GONE,
    ),
    "address removed": (f"delete element {T} ban4 {{ 192.0.2.1 }}", DriftKind.ELEMENT_GONE),
    "addresses flushed": (f"flush set {T} ban6", DriftKind.ELEMENT_GONE),
    "address shortened": (
        "; ".join(f"{what} element {T} ban4 {{ 192.0.2.1{end} }}" for what, end in SHORTENED),
        DriftKind.ELEMENT_CHANGED,
    ),
    "address forever": (
        f"delete element {T} ban4 {{ 192.0.2.1 }}; add element {T} ban4 {{ 192.0.2.1 }}",
        DriftKind.ELEMENT_CHANGED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_nobody_notified_is_found_and_reverted(kept: Kept, change: str) -> None:
    """Whatever is changed while the watch is blind: the comparison names its kind, and the table is as it was."""
    assert kept.compare() == []
    listing, content, definition = kept.listing(), kept.content(), read_definition()
    command, kind = CHANGES[change]
    listed = kept.node.run("nft", "-a", "list", "chain", "inet", "nodewarden", "ban").stdout
    rule = next(line.split()[-1] for line in listed.splitlines() if "@ban4 " in line)
    kept.node.run("nft", command.replace("RULE", rule))
    assert kept.compare() == [kind]
    assert kept.table.drifts[kind] >= 1
    assert (kept.listing(), kept.content()) == (listing, content)
    assert differences(definition, read_definition()) == []
    assert kept.compare() == []
    assert kept.table.faults == {}


def test_what_we_change_ourselves_is_no_difference(kept: Kept) -> None:
    """Overlapping prefixes, later ends, lifted bans, a changed allowlist, a reset of counters: nothing is found."""
    kept.ban("203.0.113.0/24", "203.0.113.128/25", "203.0.113.7", bantime_s=50)
    kept.ban("203.0.113.64/26", bantime_s=5000)
    kept.ban("203.0.113.0/24", "192.0.2.9", bantime_s=400_000_000, strength=SPOOFABLE)
    ended = kept.ledger.remove(parse_network("198.51.100.0/24"), PROVEN)
    assert ended is not None
    kept.table.remove([ended[0]], time.time())
    kept.table.allow([parse_network("10.0.0.0/9"), parse_network("10.128.0.0/9")], time.time())
    kept.node.run("nft", "reset", "counters", "table", "inet", "nodewarden")
    kept.node.nft("table inet other { set s { type ipv4_addr; elements = { 1.1.1.1 }\n }\n chain ban { }\n }\n")
    assert kept.compare() == []
    kept.node.run("nft", "delete", "table", "inet", "other")
    assert strangers(read_definition()) == []


def test_a_thousand_lost_bans_are_back(kept: Kept) -> None:
    """A flushed set of 10,000 addresses is filled again in slices, one report for all."""
    kept.ban(*(f"172.{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(10_000)))
    content = kept.content()
    kept.node.run("nft", "flush", "set", "inet", "nodewarden", "ban4")
    assert kept.compare() == ["element_gone"]
    assert kept.table.drifts["element_gone"] == 10_002
    assert kept.content() == content


def test_our_own_refill_that_overruns_the_buffer_rebuilds_nothing_again(kept: Kept) -> None:
    """Notifications of our own bans are lost too: everything is compared then, nothing differs, nothing is rebuilt."""
    kept.ban(*(f"172.{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(10_000)))
    before, content = kept.table.generation, kept.content()
    read: Counter[str] = Counter()

    class Counting(TableKeeper):
        def read(self, part: str, *args: Any, **more: Any) -> list[str] | Reading:
            read[part] += kept.table.generation > before
            return super().read(part, *args, **more)

    async def run() -> None:
        keeper = Counting(kept.table, kept.enforcer, kept.ledger)
        watch = TableWatch(keeper, kept.enforcer.ports, lambda *fault: pytest.fail(str(fault)), pause_s=0.01)
        watch.open()
        assert watch._watch is not None
        watch._watch._socket.setsockopt(1, 33, 65_536)  # SOL_SOCKET, SO_RCVBUFFORCE
        watch.attach(asyncio.get_running_loop())
        kept.node.run("nft", "delete", "table", "inet", "nodewarden")
        try:
            async with asyncio.timeout(60):
                while any(read[part] < often[part] for part in PARTS) or keeper.suspects:
                    await asyncio.sleep(0.01)
        finally:
            watch.close()

    often = {part: 1 if part in (DEFINITION, ALLOWLIST) else 3 for part in PARTS}  # these two if nf_tables changed
    asyncio.run(run())
    assert kept.table.drifts["overrun"] >= 1
    assert kept.table.generation == before + 1
    assert kept.content() == content
    assert kept.table.faults == {}


def test_elements_that_others_added_are_known_and_stay(kept: Kept) -> None:
    """An address, a prefix, a range: listed with set and end, found around an address, and no second time reported."""
    for name, text in (
        ("ban4", "203.0.113.1 timeout 1h"),
        ("shun6", "2001:db8:9::1"),
        ("ban4_nets", "203.0.113.64/26 timeout 1h"),
        ("egress4_nets", "203.0.113.5-203.0.113.9"),
    ):
        kept.node.run("nft", f"add element {T} {name} {{ {text} }}")
    content = kept.content()
    assert kept.compare() == ["element_added"]
    assert kept.table.drifts["element_added"] == 4
    now_s = time.time()
    foreign = kept.table.foreign
    assert {(one.set, str(one)): one.until_s is None for one in foreign.listed(now_s)} == {
        ("ban4", "203.0.113.1"): False,
        ("shun6", "2001:db8:9::1"): True,
        ("ban4_nets", "203.0.113.64/26"): False,
        ("egress4_nets", "203.0.113.5-203.0.113.9"): True,
    }
    for address, texts in (
        ("203.0.113.1", ["203.0.113.1"]),
        ("203.0.113.70", ["203.0.113.64/26"]),
        ("203.0.113.9", ["203.0.113.5-203.0.113.9"]),
        ("203.0.113.10", []),
        ("192.0.2.1", []),
        ("198.51.100.3", []),
    ):
        assert [str(one) for one in foreign.around(parse_network(address), now_s)] == texts
    assert kept.compare() == []
    assert kept.content() == content
    foreign.lift(foreign.listed(now_s), now_s)
    assert foreign.listed(now_s) == []
    assert kept.compare() == []
    assert [str(one) for one in foreign.around(parse_network("203.0.113.9"), now_s)] == []
    assert set(kept.content()) == {(text, PROVEN) for text in BANNED}


def test_a_foreign_prefix_inside_a_ban_of_ours_is_lifted_alone(kept: Kept) -> None:
    """A longer foreign ban of a part of what we ban next: lifting it leaves all of ours in force."""
    kept.node.run("nft", f"add element {T} ban4_nets {{ 203.0.113.64/26 timeout 10h }}")
    kept.ban("203.0.113.0/24")
    assert kept.compare() == ["element_added"]
    (one,) = kept.table.foreign.listed(time.time())
    assert str(one) == "203.0.113.64/26"
    kept.table.foreign.lift([one], time.time())
    assert kept.compare() == []
    assert kept.table.foreign.listed(time.time()) == []


def test_a_set_full_of_foreign_elements_is_counted(kept: Kept) -> None:
    """As many as the set takes: a bounded number is kept one by one, all are counted, and any of them is explained."""
    texts = [f"172.{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(20_000 - 2)]
    for start in range(0, len(texts), 5000):
        kept.node.nft(f"add element {T} ban4 {{ {', '.join(texts[start : start + 5000])} }}\n")
    assert kept.compare() == ["element_added"]
    assert kept.table.foreign.counts()["ban4"] == len(texts)
    now_s = time.time()
    assert len(kept.table.foreign.listed(now_s)) == MAX_FOREIGN
    (last,) = kept.table.foreign.around(parse_network(texts[-1]), now_s)
    kept.table.foreign.lift([last], now_s)
    assert kept.compare() == []
    assert kept.table.foreign.counts()["ban4"] == len(texts) - 1
