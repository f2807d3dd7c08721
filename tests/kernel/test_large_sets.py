"""Sets so large that listing them takes too long: started with, and compared, without being listed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.daemon.life.restore import restore
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import contents, listing
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.keeper import TableKeeper
from monitor.enforcers.nftables.large_sets import LISTED_EVERY_S, LargeSets
from monitor.enforcers.nftables.sizes import LARGE
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.settings.schema import Settings
from monitor.state.changes import StateChanges
from monitor.state.store import Store
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_MANY = LARGE + 2000
_PART = 100


class Node:
    """A node with many bans in the kernel and in the store."""

    def __init__(self, machine: Host, directory: Path) -> None:
        self._machine = machine
        self.enforcer = NftablesEnforcer(max_bans=131_072)
        self.enforcer.flush()
        self.enforcer.setup([])
        self.bans = [_ban(number) for number in range(_MANY)]
        assert self.enforcer.add(self.bans, time.time()) == []
        self.path = directory / "nodewarden.db"

    def nft(self, word: str, numbers: range) -> None:
        """Add or delete elements as another program does."""
        elements = ", ".join(str(_ban(number).network) for number in numbers)
        self._machine.nft(f"{word} element inet nodewarden ban4 {{ {elements} }}\n")

    def count(self) -> int | None:
        """Return how many elements there are."""
        link = NetlinkSocket()
        try:
            return listing.read_definitions(link, ["ban4"])["ban4"].count
        finally:
            link.close()

    def start(self, stored: int) -> Pipeline:
        """Start with a store that has this many of the bans; return what is known then."""
        changes = StateChanges()
        for ban in self.bans[:stored]:
            changes.put_ban(ban)
        store = Store.open(self.path)
        store.write(changes, durable=False)
        pipeline = Pipeline(
            Settings(),
            (),
            lambda ledger, allowlist: Enforcement(NftablesTable(self.enforcer, ledger, allowlist)),
            (),
        )
        restore(pipeline, store)
        store.close()
        return pipeline


def _ban(number: int) -> Ban:
    now_s = time.time()
    return Ban(host((0x0B000000 + number).to_bytes(4)), Strength.PROVEN, now_s, now_s + 86400, "sshd", "test")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a node in a network namespace of its own."""
    with Lab("node", label="large") as lab, lab["node"].entered():
        node = Node(lab["node"], tmp_path)
        yield node
        node.enforcer.close()


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the sets that are listed from now on."""
    names: list[str] = []
    original = listing.bodies

    def noting(name: str, *, must_be_exact: bool = True) -> Iterator[tuple[bool, bytes]]:
        names.append(name)
        return original(name, must_be_exact=must_be_exact)

    monkeypatch.setattr(listing, "bodies", noting)
    return names


def test_a_start_adds_what_is_missing_and_lists_no_large_set(node: Node, listed: list[str]) -> None:
    """What another program deleted is in force again; what only the kernel had stays, and is no ban of ours."""
    node.nft("delete", range(_PART))
    stranger = _ban(_MANY)
    node.enforcer.add([stranger], time.time())
    pipeline = node.start(_MANY)
    assert len(pipeline.ledger) == _MANY
    assert "ban4" not in listed
    assert node.count() in (_MANY + 1, None)
    there = node.enforcer.lookup_many([*(ban.network for ban in node.bans[:_PART]), stranger.network], Strength.PROVEN)
    assert len(there) == _PART + 1


def test_a_start_lists_a_set_that_has_more_than_the_store(node: Node, listed: list[str]) -> None:
    """What was not saved before the daemon was killed is known again."""
    if node.count() is None:
        node.bans = node.bans[: LARGE - 1]
    pipeline = node.start(LARGE - 1)
    assert len(pipeline.ledger) == _MANY
    assert "ban4" in listed


def test_a_large_set_is_compared_by_its_count_and_a_sample(node: Node) -> None:
    """Neither is right any more when a part of it is missing; an hour later it is listed in any case."""
    clock = [0.0]
    large = LargeSets(lambda: clock[0])
    assert large.is_alike("ban4", node.bans, 0)
    assert not large.is_alike("ban4", node.bans[:LARGE], 0), "it is small enough to be listed"
    clock[0] = LISTED_EVERY_S + 1
    assert not large.is_alike("ban4", node.bans, 0), "it was not listed for an hour"
    large.note("ban4")
    assert large.is_alike("ban4", node.bans, 0)
    if node.count() is not None:
        node.nft("add", range(_MANY, _MANY + _PART))
        assert not large.is_alike("ban4", node.bans, 0), "others added elements"
        assert large.is_alike("ban4", node.bans, _PART), "these are known"
        node.nft("delete", range(_MANY, _MANY + _PART))
    node.enforcer.empty("ban4", time.time())
    others = [_ban(number) for number in range(_MANY, 2 * _MANY)]
    node.enforcer.add(others, time.time())
    assert not large.is_alike("ban4", node.bans, 0), "as many, but others"
    node.enforcer.flush()
    assert not large.is_alike("ban4", node.bans, 0), "there is no table"


def test_a_regular_comparison_lists_a_large_set_once_it_differs(node: Node, listed: list[str]) -> None:
    """And one that is suspect at once."""
    ledger = node.start(_MANY).ledger
    keeper = TableKeeper(NftablesTable(node.enforcer, ledger, []), node.enforcer, ledger)
    bans = keeper.snapshot()
    assert keeper.read("ban4", bans, is_suspect=False) == []
    assert "ban4" not in listed
    assert isinstance(keeper.read("ban4", bans), contents.Reading)
    node.nft("delete", range(_MANY // 2))
    reading = keeper.read("ban4", bans, is_suspect=False)
    assert isinstance(reading, contents.Reading)
    assert len(reading.wrong) == _MANY // 2
