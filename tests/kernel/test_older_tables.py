"""A table of an older schema, as the version that made it left it, becomes one of today's without losing anything."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from functools import partial

import pytest

from monitor.enforcers.netlink import NEW_ELEMENTS, ElementEncoder, encode_element
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import setup
from monitor.enforcers.nftables.chains import CHAINS
from monitor.enforcers.nftables.definition import Step, carried
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.messages import new_rule
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_COUNTERS, TABLE, Element
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.errors import TemporaryError
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.support.older_table import EGRESS_WORDS, OLDER_SCHEMAS, older_table, sets_of

pytestmark = pytest.mark.kernel

_STRENGTHS = {
    "ban": Strength.PROVEN,
    "shun": Strength.SPOOFABLE,
    **dict.fromkeys(EGRESS_WORDS.values(), Strength.DESTINATION),
}
_NETWORKS = {
    "4": ("192.0.2.{}", "198.51.100.{}"),
    "6": ("2001:db8::{}", "2001:db8:1::{}"),
    "4_nets": ("10.{}.0.0/16", "172.16.{}.0/24"),
    "6_nets": ("2001:db8:{}::/48", "fd00:{}::/32"),
}


def former_counters(schema: int) -> dict[str, tuple[int, int]]:
    """Return the counts of all counters of the old table, packets and bytes."""
    names = (*sets_of(schema), "leak_input", "leak_forward")
    return {name: (100 + number, 6000 + number) for number, name in enumerate(names)}


def former_bans(schema: int) -> dict[str, list[Element]]:
    """Return two bans for each of the old sets: one that ends in an hour or so, and one that never does."""
    bans: dict[str, list[Element]] = {}
    for number, name in enumerate(sets_of(schema), 10):
        strength = _STRENGTHS[re.split("[46]", name)[0]]
        networks = [parse_network(text.format(number)) for text in _NETWORKS[re.sub("[a-z]+", "", name, count=1)]]
        times = (3600.0 + 60 * number, None)
        bans[name] = [
            Element(n, strength, time_s, number, number * 60) for n, time_s in zip(networks, times, strict=True)
        ]
    return bans


def load(node: Host, schema: int, bans: dict[str, list[Element]]) -> None:
    """Make the old table with its counters and these bans."""
    hosts = {
        name: [
            f"{e.network} counter packets {e.packets} bytes {e.bytes}"
            + (f" timeout 9h expires {e.timeout_s:.0f}s" if e.timeout_s else "")
            for e in elements
        ]
        for name, elements in bans.items()
        if not name.endswith("_nets")
    }
    node.nft(older_table(schema, hosts, former_counters(schema)))
    # nft 1.0.6 drops the counts of prefixes, so those are added by netlink
    requests = [
        ElementEncoder(TABLE, name).request(
            NEW_ELEMENTS,
            encode_element(
                e.network,
                interval=True,
                timeout_ms=round(e.timeout_s * 1000) if e.timeout_s else None,
                count=(e.packets, e.bytes),
            ),
        )
        for name, elements in bans.items()
        if name.endswith("_nets")
        for e in elements
    ]
    with contextlib.closing(NetlinkSocket()) as link:
        assert link.transact(requests) == {}


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a node with a neighbour (10.88.0.2) and no table, in whose namespace the test runs."""
    with Lab("node", "world", label="older") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def enforcer(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an enforcer that has done nothing yet."""
    enforcer = NftablesEnforcer(max_bans=1000)
    yield enforcer
    enforcer.flush()
    enforcer.close()


def shape(node: Host) -> list[str]:
    """Return comment, sets, counters, chains and rules of the table, without elements and counts."""
    listed = node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout
    return [line.strip() for line in re.sub(r"elements = {[^}]*}", "", listed).splitlines() if line.strip()]


def ending(elements: dict[tuple[Network, Strength], float | None]) -> dict[tuple[Network, Strength], float | None]:
    """Return remaining times to the next ten seconds, as long as less than ten have passed."""
    return {key: None if left_s is None else -(-left_s // 10) * 10 for key, left_s in elements.items()}


@pytest.mark.parametrize("schema", OLDER_SCHEMAS)
def test_every_ban_its_time_and_its_counts_are_carried_over(
    node: Host, enforcer: NftablesEnforcer, schema: int
) -> None:
    """Bans of all twelve sets, with and without an end, and all counters; nothing is left under the old names."""
    enforcer.setup([])
    today = shape(node)
    enforcer.flush()
    former = former_bans(schema)
    load(node, schema, former)
    expected = {(e.network, e.strength): e for elements in former.values() for e in elements}
    assert len(expected) == 24
    times = {key: element.timeout_s for key, element in expected.items()}
    # what the daemon reads when it starts, before it makes the table
    assert ending({(network, strength): left_s for network, strength, left_s in enforcer.ends()}) == times
    enforcer.setup([])
    found = {(element.network, element.strength): element for element in enforcer.elements()}
    assert ending({key: element.timeout_s for key, element in found.items()}) == times
    counts = {key: (element.packets, element.bytes) for key, element in found.items()}
    assert counts == {key: (element.packets, element.bytes) for key, element in expected.items()}
    carried = {name.replace("block", "egress"): Stopped(*counted) for name, counted in former_counters(schema).items()}
    assert enforcer.counters() == {name: carried.get(name, Stopped(0, 0)) for name in (*BAN_SETS, *PORT_COUNTERS)}
    assert enforcer.leaks() == {hook: carried[f"leak_{hook}"] for hook in ("input", "forward")}
    assert shape(node) == today
    assert "block" not in node.run("nft", "list", "table", "inet", "nodewarden").stdout


def counts_on(enforcer: NftablesEnforcer, before: int) -> bool:
    """Whether more packets to single destinations were dropped than before."""
    return enforcer.counters()["egress4"].packets > before


@pytest.mark.parametrize("schema", OLDER_SCHEMAS)
def test_a_banned_destination_stays_unreachable_throughout(node: Host, enforcer: NftablesEnforcer, schema: int) -> None:
    """No datagram gets out before, while or after the table is replaced; the counts go on from where they were."""
    world = ("10.88.0.2", 9)
    former = f"{EGRESS_WORDS[schema]}4"
    old = older_table(schema, {former: [f"{world[0]} timeout 1h"]}, {former: (1000, 60_000)})
    refused = sent = 0
    is_over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def keep_sending() -> None:
            nonlocal refused, sent
            while not is_over.is_set():
                try:
                    sent += sender.sendto(b"x", world)
                except PermissionError:
                    refused += 1

        assert sender.sendto(b"x", world) == 1
        node.nft(old)
        with pytest.raises(PermissionError):
            sender.sendto(b"x", world)
        thread = threading.Thread(target=keep_sending)
        thread.start()
        try:
            for _ in range(5):
                node.nft(f"delete table inet nodewarden\n{old}")
                enforcer.setup([])
                before = enforcer.counters()["egress4"].packets
                assert before >= 1000
                wait_for(partial(counts_on, enforcer, before), "further drops")
        finally:
            is_over.set()
            thread.join()
        assert (sent, refused > 5) == (0, True)
        enforcer.remove([(parse_network(world[0]), Strength.DESTINATION)])
        assert sender.sendto(b"x", world) == 1


@pytest.mark.parametrize("schema", OLDER_SCHEMAS)
def test_a_replacement_that_fails_leaves_the_old_table_whole(
    node: Host, enforcer: NftablesEnforcer, monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    """The last message of the transaction is refused: the old table, its rules and its bans are as before."""
    load(node, schema, former_bans(schema))
    before = node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout

    def faulty(elements: Iterable[Element], elapsed_s: float) -> Iterator[Step]:
        yield from carried(elements, elapsed_s)
        yield Step("a rule of no chain", new_rule(TABLE, "nowhere", CHAINS[0].rules[0]))

    with monkeypatch.context() as patch:
        patch.setattr(setup, "carried", faulty)
        with pytest.raises(TemporaryError, match="refused a rule of no chain: No such file"):
            enforcer.setup([])
    assert node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout == before
    enforcer.setup([])
    assert len(enforcer.elements()) == 24
