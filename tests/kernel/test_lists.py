"""Block lists in the real kernel: filled, changed, repaired, removed; and what packets of listed addresses meet."""

import asyncio
import contextlib
import inspect
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from monitor.control.client import ask
from monitor.control.protocol import ListsLoaded
from monitor.daemon.lists.keeper import ListKeeper
from monitor.daemon.lists.report import ListReport
from monitor.enforcers import netlink
from monitor.enforcers.nftables import contents, listing
from monitor.enforcers.nftables.definition import Step
from monitor.enforcers.nftables.list_frame import SETS, TABLE, ListFrame
from monitor.enforcers.nftables.list_table import Expected, ListTable
from monitor.lists.columns import NOTHING, counts
from monitor.lists.difference import difference
from monitor.lists.settings import ListSet, ListSettings
from monitor.model.addresses import Network, host, network_between, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Mode
from monitor.model.errors import TemporaryError
from monitor.settings.schema import Settings, State
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab
from tests.support.lists import disjoint, pack, write_copy

pytestmark = pytest.mark.kernel

QUIET = "sources: {kernel_log: {enabled: false}, drops: {enabled: false}, journal: {enabled: false}}\n"


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a node without tables, in whose namespace the test runs."""
    with Lab("node", label="lists") as lab, lab["node"].entered():
        yield lab["node"]


def _in_kernel(frame: ListFrame) -> list[Network]:
    """Return what the sets of a list have."""
    found: list[Network | None] = []
    for end in SETS:
        name = frame.set_name(end)
        if end.endswith("_nets"):
            found += [network_between(*one[:2]) for one in contents.read_intervals(name, table=TABLE)]
        else:
            for _, body in listing.bodies(name, table=TABLE):
                found += [host(one.key) for one in netlink.decode_elements(body)]
    return sorted(one for one in found if one is not None)


def _crowd(rng: random.Random) -> list[Network]:
    """Return networks that are near one another, at the start and at the end of both families."""
    some = []
    for _ in range(rng.randrange(40)):
        size = rng.choice((4, 16))
        number = rng.randrange(64) + rng.choice((0, (1 << 8 * size) - 64))
        some.append(network_of(number.to_bytes(size), 8 * size - rng.choice((0, 0, 0, 1, 2, 3, 5))))
    return disjoint(some)


def test_differences_leave_what_a_fresh_load_leaves(node: Host) -> None:
    """After each of many updates the kernel's sets have what the list has, and a comparison finds nothing wrong."""
    rng = random.Random(7)
    frame = ListFrame("drop", Strength.PROVEN, True, "a", 1024, 1024)
    with contextlib.closing(ListTable()) as table:
        table.make_room(frame)
        table.set_up([frame], [parse_network("10.0.0.0/8")], {"drop": 3600.0})
        held = NOTHING
        for _ in range(60):
            listed = _crowd(rng)
            wanted = pack(listed)
            for part in difference(held, wanted, rng.choice((1, 3, 50))):
                table.write(frame, part.removed, part.added)
            held = wanted
            assert _in_kernel(frame) == sorted(listed)
            sample = [(one.address, one.prefix_length) for one in listed]
            assert not table.compare([Expected(frame, counts(wanted), sample, is_live=True)])
        table.flush()
        assert not table.exists()


class Site:
    """A keeper of lists, without a daemon around it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.allowed = [parse_network("192.0.2.0/28")]
        self.sections = {"drop": ListSettings(file="/x", set=ListSet.BAN, mode=Mode.ENFORCE)}
        self.keeper = self.make()

    def settings(self) -> Settings:
        """Return the configuration as it is now."""
        return Settings(lists=self.sections, state=State(directory=self.state))

    def make(self) -> ListKeeper:
        """Return another keeper, as a restart makes one."""
        return ListKeeper(self.settings(), lambda: self.allowed, compare_every_s=0.05, retry_s=0.05)

    def frame(self, name: str = "drop") -> ListFrame:
        """Return a list as the rules have it."""
        frame = self.keeper.lists[name].frame
        assert frame is not None
        return frame

    def problems(self) -> str:
        """Return all problems in one text."""
        return " ".join(one.text for one in ListReport(self.keeper).problems())

    def allow(self, *networks: str) -> None:
        """Allow other networks, as the pipeline does."""
        self.allowed = [parse_network(network) for network in networks]
        self.keeper.allow(self.allowed, time.time())


async def _until(met: Callable[[], object], what: str) -> None:
    for _ in range(2000):
        with contextlib.suppress(FileNotFoundError, AssertionError):
            if met():
                return
        await asyncio.sleep(0.005)
    raise AssertionError(what)


def test_a_list_through_its_life(node: Host, tmp_path: Path) -> None:
    """It is loaded, renewed, thinned out, repaired, kept when its copy is damaged, and ends when that expires."""
    site = Site(tmp_path)
    write_copy(tmp_path, "drop", ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"])
    asyncio.run(_life(site, node))
    assert "nodewarden_lists" not in node.run("nft", "list", "tables").stdout


async def _life(site: Site, node: Host) -> None:
    keeper = site.keeper
    node.nft(f"table inet {TABLE} {{ set allow4 {{ type mark; }}; chain list_ban {{ drop; }}; }}")  # somebody else's
    keeper.attach(asyncio.get_running_loop())

    def has(*networks: str) -> Callable[[], bool]:
        wanted = sorted(map(parse_network, networks))
        return lambda: keeper.is_settled and _in_kernel(site.frame()) == wanted

    await _until(has("198.51.100.0/24", "2001:db8::/32"), "the list, without what is allowed")
    letter = site.frame().letter
    write_copy(site.state, "drop", ["192.0.2.1", "198.51.100.0/25", "203.0.113.7"])
    assert keeper.loaded("drop")
    await _until(has("198.51.100.0/25", "203.0.113.7"), "the update")
    assert site.frame().letter == letter, "an update is a difference"
    site.allow("203.0.113.0/24")
    await _until(has("198.51.100.0/25", "192.0.2.1"), "what the changed allowlist leaves")
    for change in (
        f"delete table inet {TABLE}",
        f"flush set inet {TABLE} list_drop_@4_nets",
        f"add element inet {TABLE} list_drop_@4 {{ 203.0.113.9 }}",
        f"flush chain inet {TABLE} list_ban",
        f"flush set inet {TABLE} list_drop_live",
        f"add element inet {TABLE} allow4 {{ 198.51.100.0/24 }}",
        f"add chain inet {TABLE} mine",
    ):
        before = keeper.repairs_total
        await _until(has("198.51.100.0/25", "192.0.2.1"), "a sound table")
        node.nft(change.replace("@", site.frame().letter))
        await _until(lambda before=before: keeper.repairs_total > before, f"a repair of {change!r}")  # type: ignore[misc]
        await _until(has("198.51.100.0/25", "192.0.2.1"), f"the list after {change!r}")
    await _until(
        lambda: "192.0.2.1" not in node.run("nft", "list", "set", "inet", TABLE, "allow4").stdout, "allow sets"
    )
    (site.state / "lists/drop.list").write_bytes(b"damaged")
    await _until(lambda: "its copy cannot be used" in site.problems(), "the damage to be reported")
    assert has("198.51.100.0/25", "192.0.2.1")(), "what was in force stays"
    site.sections["other"] = ListSettings(file="/y", set=ListSet.EGRESS)
    keeper.reconfigure(site.settings())
    await _until(lambda: "block list other has no copy yet" in site.problems(), "what is missing")
    assert ListReport(keeper).parts()[0].state == "missing"
    write_copy(site.state, "other", ["203.0.113.1"], lasts_s=2.0)
    await _until(lambda: site.frame("other"), "the new list, though nobody said so")
    assert not site.frame("other").drops
    while keeper.lists["other"].frame is not None:
        keeper.tick()
        await asyncio.sleep(0.02)
    assert "block list other has expired" in site.problems()
    site.sections.clear()
    keeper.reconfigure(site.settings())
    await _until(lambda: TABLE not in node.run("nft", "list", "tables").stdout, "no table without lists")
    keeper.close()


def test_a_suspicion_is_followed_at_once(node: Host, tmp_path: Path) -> None:
    """Whatever flushed the table of bans has lists compared, long before that is due."""
    site = Site(tmp_path)
    write_copy(tmp_path, "drop", ["198.51.100.1"])

    async def run() -> None:
        keeper = ListKeeper(site.settings(), lambda: site.allowed, compare_every_s=3600.0)
        keeper.attach(asyncio.get_running_loop())
        await _until(lambda: keeper.is_settled and keeper.lists["drop"].frame, "the list")
        node.nft("flush ruleset")
        keeper.suspect()
        await _until(lambda: keeper.repairs_total and keeper.is_settled, "the repair")
        frame = keeper.lists["drop"].frame
        assert frame is not None
        assert _in_kernel(frame) == [parse_network("198.51.100.1")]
        keeper.close()

    asyncio.run(run())


class RefusingTable(ListTable):
    """The real table, some of whose calls fail as the kernel's do when it has no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = {"write": 0, "set_up": 0, "allow": 0}
        """How many calls fail from now on, by method."""

    def _run(self, steps: Sequence[Step]) -> None:
        method = inspect.stack()[1].function
        if self.refusals.get(method):
            self.refusals[method] -= 1
            raise TemporaryError("no memory")
        super()._run(steps)


def test_what_the_kernel_refuses(node: Host, tmp_path: Path) -> None:
    """The version before stays in force, half-filled sets are not used, and no list outlives its allow sets."""
    site = Site(tmp_path)
    table = RefusingTable()
    write_copy(tmp_path, "drop", ["198.51.100.1"])
    asyncio.run(_refused(site, table, node))


async def _refused(site: Site, table: RefusingTable, node: Host) -> None:
    site.keeper = keeper = ListKeeper(site.settings(), lambda: site.allowed, table, 0.05, retry_s=0.05)
    keeper.attach(asyncio.get_running_loop())

    def has(*networks: str) -> Callable[[], bool]:
        wanted = sorted(map(parse_network, networks))
        return lambda: _in_kernel(site.frame()) == wanted

    await _until(lambda: keeper.is_settled and has("198.51.100.1")(), "the list")
    table.refusals["write"] = 2  # the difference, and after it new sets
    write_copy(site.state, "drop", ["198.51.100.2"])
    keeper.loaded("drop")
    await _until(lambda: "the kernel does not have all of it: no memory" in site.problems(), "the refusal")
    assert has("198.51.100.1")()
    await _until(lambda: keeper.is_settled and has("198.51.100.2")(), "the update after all")
    assert not site.problems()
    table.refusals["set_up"] = 2
    keeper.reconfigure(Settings(mode=Mode.OBSERVE, lists=site.sections, state=State(directory=site.state)))
    await _until(lambda: "it cannot be set up: no memory" in site.problems(), "the refused rules")
    assert site.frame().drops, "the rules before stay in force"
    await _until(lambda: not site.frame().drops, "rules that only count")
    table.refusals["allow"] = 1
    site.allow("198.51.100.0/28")
    assert TABLE not in node.run("nft", "list", "tables").stdout, "no list that could drop what is allowed"
    assert "it cannot be changed: no memory" in site.problems()
    site.allow("192.0.2.0/28")
    await _until(lambda: keeper.is_settled and has("198.51.100.2")(), "the list again")
    keeper.close()
    assert TABLE not in node.run("nft", "list", "tables").stdout, "lists that only count go with the daemon"


def test_a_restart_leaves_no_gap(node: Host, tmp_path: Path) -> None:
    """The sets of the daemon before stay in force until those of the new one are full."""
    names = [f"list{number}" for number in range(3)]
    site = Site(tmp_path)
    site.sections = {name: ListSettings(file="/x", set=ListSet.BAN, mode=Mode.ENFORCE) for name in names}
    for number, name in enumerate(names):
        write_copy(tmp_path, name, [network_of((number << 24 | 2 * one << 8).to_bytes(4), 24) for one in range(400)])

    async def run(watch: Callable[[], None]) -> None:
        site.keeper = site.make()
        site.keeper.attach(asyncio.get_running_loop())
        while not all(held.frame for held in site.keeper.lists.values()):
            watch()
            await asyncio.sleep(0)
        site.keeper.close()

    asyncio.run(run(lambda: None))
    seen = []

    def rules() -> None:
        shown = node.run("nft", "list", "chain", "inet", TABLE, "list_ban").stdout
        seen.append(all(f"@list_{name}_" in shown for name in names))

    asyncio.run(run(rules))
    assert seen
    assert all(seen)


def test_packets_of_listed_addresses(tmp_path: Path) -> None:
    """A list in force drops, one that is observed counts; what is allowed passes; the kernel ends it by itself."""
    with Lab("node", "bad", "seen", label="lists") as lab:
        node, bad, seen = lab["node"], lab["bad"], lab["seen"]
        daemon = Daemon(
            node, tmp_path, QUIET + "lists: {drop: {file: /x, set: ban, mode: enforce}, seen: {file: /y}}\n"
        )
        write_copy(tmp_path / "state", "drop", [bad.address4, bad.address6, node.address4])
        write_copy(tmp_path / "state", "seen", [seen.address4])
        daemon.start()
        try:
            _meet(daemon, node, bad, seen, tmp_path)
        finally:
            daemon.stop()


def _meet(daemon: Daemon, node: Host, bad: Host, seen: Host, directory: Path) -> None:
    def reaches(one: Host, address: str = node.address4) -> bool:
        return not one.run("ping", "-c1", "-W0.4", address, check=False).returncode

    def lists() -> dict[str, dict[str, object]]:
        return {one["name"]: one for one in json.loads(daemon.run("status", "--json").stdout)["lists"]}

    def why(address: str) -> str:
        return daemon.run("why", address).stdout

    wait_for(lambda: lists()["seen"]["state"] == "observed", "the lists", lambda: daemon.log)
    assert not reaches(bad)
    assert not reaches(bad, node.address6)
    assert reaches(seen)
    assert lists()["drop"]["dropped"] == 1
    assert all(lists()[name]["hits"] for name in ("drop", "seen"))
    assert f"block list drop has {bad.address4} (in force: every packet from it is dropped)" in why(bad.address4)
    assert f"block list seen has {seen.address4} (observed)" in why(seen.address4)
    assert "left out, because it is on the allowlist" in why(node.address4)
    assert "block list drop (ban) in force: 2 networks, 1 left out" in daemon.run("status").stdout
    daemon.run("allow", "add", bad.address4)
    assert reaches(bad), "an allowed address passes as soon as the command returns"
    daemon.run("allow", "remove", bad.address4)
    daemon.run("flush")
    assert TABLE not in node.run("nft", "list", "tables").stdout
    write_copy(directory / "state", "drop", [bad.address4], lasts_s=3.0)
    reply = ask(directory / "control.sock", ListsLoaded(["drop", "nobody"]))
    assert msgspec.to_builtins(reply) == [{"name": "drop", "done": True}, {"name": "nobody", "done": False}]
    wait_for(lambda: lists()["drop"]["state"] == "in force", "the list to be back", lambda: daemon.log)
    daemon.stop()
    assert not reaches(bad), "it stays without a daemon"
    wait_for(lambda: reaches(bad), "the list to expire in the kernel", lambda: daemon.log)
    daemon.run("flush")
    assert not node.run("nft", "list", "tables").stdout, "without a daemon `flush` removes both tables"
