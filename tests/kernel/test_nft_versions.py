"""Every version of nft(8) and the daemon in one namespace: neither crashes on what the other writes."""

import contextlib
import re
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.enforcers.netlink import NFPROTO_INET, NLM_F_CREATE, NLM_F_REQUEST, NetlinkRequest, attribute
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.list_frame import TABLE as LISTS
from monitor.enforcers.nftables.list_frame import ListFrame
from monitor.enforcers.nftables.list_table import ListTable
from monitor.enforcers.nftables.messages import NEW_SET, NEW_TABLE
from monitor.enforcers.nftables.ruleset import TABLE, all_set_specs
from monitor.enforcers.nftables.table_text import table_text
from monitor.enforcers.nftables.writers import read_writers
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab
from tests.support.needs import needs
from tests.support.nft_versions import FOREIGN_TABLES, SUITES, Nft, Run, unpacked

pytestmark = pytest.mark.kernel

QUIET = "sources: {kernel_log: {enabled: false}, drops: {enabled: false}, journal: {enabled: false}}\n"
OURS = ("list", "table", "inet", TABLE)
BAN = Ban(parse_network("192.0.2.1"), Strength.PROVEN, since_s=0, until_s=3600, detector="test", reason="test")
PREFIX = Ban(parse_network("2001:db8::/32"), Strength.SPOOFABLE, since_s=0, until_s=3600, detector="t", reason="t")


@pytest.fixture(scope="module")
def versions() -> list[Nft]:
    """Return the nft of each release, oldest first."""
    needs("mmdebstrap")
    return [unpacked(suite) for suite in SUITES]


@pytest.fixture
def node() -> Iterator[Host]:
    """Yield a node without a table, in whose namespace the test runs."""
    with Lab("node", label="versions") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def enforcer(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an enforcer that has done nothing yet."""
    with contextlib.closing(NftablesEnforcer(max_bans=131_072)) as enforcer:
        yield enforcer


WRITTEN_BY: dict[str, Callable[[str], tuple[str, str]]] = {
    "bookworm": lambda _: ("", ""),
    "trixie": lambda _: ("1.1 or later", "set ip foreign addresses"),
    "forky": lambda version: (version.removeprefix("v"), "set ip foreign addresses"),
}
"""What the doctor finds out about the writer, and the set that older versions crash on."""


def nft_on_this_machine() -> str:
    """Return the version as nft says it."""
    return subprocess.run(["nft", "--version"], capture_output=True, text=True, check=True).stdout.split()[1][1:]


def faults(runs: Sequence[Run]) -> list[str]:
    """Return what went wrong in some of these calls."""
    return [run.fault for run in runs if run.fault]


def executed(nft: Nft, node: Host) -> str:
    """Return what the kernel executes for our rules, without the numbers of rules."""
    return re.sub(rf"(inet {TABLE} \w+) \d+.*", r"\1", nft.run(node, "--debug=netlink", *OURS).output)


def test_every_version_lists_the_table_as_documented(
    node: Host, enforcer: NftablesEnforcer, versions: list[Nft]
) -> None:
    """What the kernel got is what docs/table.nft says, and what nft makes of that text is what the kernel got."""
    enforcer.setup([])
    enforcer.setup([])
    documented = "".join(f"{line}\n" for line in Path("docs/table.nft").read_text().splitlines()[1:])
    assert documented == table_text(131_072)
    for nft in versions:
        run = nft.run(node, *OURS)
        assert (run.fault, run.output) == ("", documented)
    reader = versions[-1]  # an older one may crash on what a newer one loads
    ours = executed(reader, node)
    assert ours.count("immediate reg 0") == sum(line.endswith((" accept", " drop")) for line in documented.splitlines())
    for nft in versions:
        assert nft.run(node, "-f", "-", ruleset=f"delete table inet {TABLE}\n{documented}").fault == ""
        assert executed(reader, node) == ours


def test_a_table_restored_from_a_listing_is_made_ours_again(
    node: Host, enforcer: NftablesEnforcer, versions: list[Nft]
) -> None:
    """Any version may load the listing of another; after that we remove what would crash some of them."""
    enforcer.setup([])
    assert enforcer.add([BAN, PREFIX], now_s=0) == []
    runs: list[Run] = []
    for writer in versions:
        listed = writer.run(node, *OURS)
        runs += [listed, writer.run(node, "-f", "-", ruleset=f"delete table inet {TABLE}\n{listed.output}")]
        enforcer.setup([])
        runs += [reader.run(node, *command) for reader in versions for command in (OURS, ("list", "ruleset"))]
        with contextlib.closing(NetlinkSocket()) as link:
            sets = listing.read_definitions(link, all_set_specs(1))
        assert len(sets) == len(all_set_specs(1))
        assert not any(one.has_userdata for one in sets.values())
        assert {str(one.network) for one in enforcer.elements()} == {"192.0.2.1", "2001:db8::/32"}
    assert faults(runs) == []


def test_the_table_of_lists_is_read_by_every_version(node: Host, versions: list[Nft]) -> None:
    """And one that a version restored from a listing is made ours again, without what crashes others."""
    frame = ListFrame("drop", Strength.SPOOFABLE, True, "a", 1024, 1024)
    ours = ("list", "table", "inet", LISTS)
    with contextlib.closing(ListTable()) as table:
        table.make_room(frame)
        table.set_up([frame], [parse_network("10.0.0.0/8")], {"drop": 3600.0})
        table.write(frame, [], [(bytes([192, 0, 2, 1]), 32), (bytes([198, 51, 100, 0]), 24)])
        runs: list[Run] = []
        for writer in versions:
            listed = writer.run(node, *ours)
            assert "198.51.100.0/24" in listed.output
            runs += [listed, writer.run(node, "-f", "-", ruleset=f"delete table inet {LISTS}\n{listed.output}")]
            table.set_up([frame], [parse_network("10.0.0.0/8")], {"drop": 3600.0})
            table.write(frame, [], [(bytes([192, 0, 2, 1]), 32), (bytes([198, 51, 100, 0]), 24)])
            runs += [reader.run(node, *command) for reader in versions for command in (ours, ("list", "ruleset"))]
    assert faults(runs) == []


@pytest.mark.parametrize("suite", SUITES)
def test_daemon_and_nft_survive_each_other(
    suite: str, tmp_path: Path, versions: list[Nft], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sets of every kind before us and after us; we start, ban, repair and examine ourselves; nft lists and edits."""
    nft = versions[SUITES.index(suite)]
    with Lab("node", label="versions") as lab:
        node = lab["node"]
        daemon = Daemon(node, tmp_path, QUIET)
        runs = [nft.run(node, "-f", "-", ruleset=FOREIGN_TABLES)]
        daemon.start()
        assert daemon.run("ban", "192.0.2.1", "198.51.100.0/24").returncode == 0
        runs += _edits(nft, node, "foreign")
        runs.append(nft.run(node, "-f", "-", ruleset=FOREIGN_TABLES.replace(" foreign {", " later {")))
        runs += _edits(nft, node, "later")
        for command in (f"flush chain inet {TABLE} ban", f"delete table inet {TABLE}", "flush ruleset"):
            runs.append(nft.run(node, *command.split()))
            wait_for(
                lambda: "192.0.2.1" in (listed := nft.run(node, *OURS)).output and listed.output.count(" drop") == 28,
                "the repair",
                lambda: daemon.log,
            )
        runs.append(nft.run(node, "-f", "-", ruleset=FOREIGN_TABLES))
        runs += _edits(nft, node, "foreign")
        finding = daemon.ask("doctor")
        assert finding["nft_installed"] == nft_on_this_machine()
        assert (finding["nft_newest_writer"], finding["nft_crashing_set"]) == WRITTEN_BY[suite](nft.version())
        listed = daemon.ask("list")
        assert {ban["network"] for ban in listed} == {"192.0.2.1", "198.51.100.0/24"}
        assert daemon.process is not None
        assert daemon.process.poll() is None
        assert daemon.stop() == 0
        runs.append(nft.run(node, "list", "ruleset"))
    assert faults(runs) == []
    with capsys.disabled():
        crashes = sum(run.code < 0 for run in runs)
        print(f"\nnft {nft.version()}: {len(runs)} calls next to the daemon, crashes {crashes}")


def _edits(nft: Nft, node: Host, table: str) -> list[Run]:
    """List everything, and change tables of its own."""
    listings = ("list ruleset", "list sets", "list maps", " ".join(OURS), f"list set inet {TABLE} ban4")
    edits = f"""
        add element ip {table} addresses {{ 198.51.100.77 }}
        delete element ip {table} addresses {{ 198.51.100.77 }}
        add element ip {table} wide_pairs {{ 203.0.113.0/24 . 443 }}
        add rule ip {table} elsewhere ip saddr @networks counter
        flush chain ip {table} elsewhere
        flush set inet {table} both
        delete table arp {table}
    """
    runs = [nft.run(node, *listing.split()) for listing in listings]
    return [*runs, nft.run(node, "-f", "-", ruleset=edits)]


BLOBS = st.binary(max_size=64) | st.just(bytes.fromhex("03080004040000000100"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([1, 2, 5, 7, 10]), BLOBS, BLOBS), min_size=1, max_size=4))
def test_no_user_data_of_others_reaches_us(
    node: Host, enforcer: NftablesEnforcer, foreign: list[tuple[int, bytes, bytes]]
) -> None:
    """Tables and sets with random user data before our set-up, during bans and at a repair change nothing."""
    names = [f"foreign\x1b]0;{number}" for number in range(len(foreign))]
    with contextlib.closing(NetlinkSocket()) as link:
        for name, (family, *userdata) in zip(names, foreign, strict=True):
            assert link.transact(list(_foreign_table(name, family, *userdata))) == {}
        enforcer.setup([])
        assert enforcer.add([BAN, PREFIX], now_s=0) == []
        assert len(enforcer.elements()) == 2
        assert enforcer.lookup(BAN.network, BAN.strength) is not None
        assert all(text.isprintable() for text in msgspec.structs.astuple(read_writers()))
        enforcer.flush()
        link.transact([NetlinkRequest(10 << 8 | 2, NLM_F_REQUEST, struct.pack("=BBH", 0, 0, 0))])  # flush ruleset


def _foreign_table(name: str, family: int, of_table: bytes, of_set: bytes) -> Iterator[NetlinkRequest]:
    header = struct.pack(">BBH", family, 0, 0)
    table = attribute(1, name.encode() + b"\0")
    number = struct.Struct(">I").pack
    yield NetlinkRequest(NEW_TABLE, NLM_F_REQUEST | NLM_F_CREATE, header + table + attribute(6, of_table))
    one = table + attribute(2, b"a\0") + attribute(3, number(4)) + attribute(4, number(7)) + attribute(5, number(4))
    body = header + one + attribute(10, number(1)) + attribute(13, of_set)
    yield NetlinkRequest(NEW_SET, NLM_F_REQUEST | NLM_F_CREATE, body)


def test_the_set_that_ends_libnftables_does_not_end_us(node: Host, enforcer: NftablesEnforcer) -> None:
    """The set that nft 1.1.3 makes for `flags interval`: nft 1.0.6 dies of it, we do all that we ever do."""
    userdata = bytes.fromhex("00040200000003080004040000000100")
    with contextlib.closing(NetlinkSocket()) as link:
        assert link.transact(list(_foreign_table("other", NFPROTO_INET, b"", userdata))) == {}
    enforcer.setup([parse_network("10.0.0.0/8")])
    assert enforcer.add([BAN, PREFIX], now_s=0) == []
    enforcer.setup([])
    assert len(enforcer.elements()) == 2
