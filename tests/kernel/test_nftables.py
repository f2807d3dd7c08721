"""The enforcer against the real kernel, in a namespace of its own."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.enforcers import netlink_socket
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.enforcer import NftablesEnforcer, TableMissing
from monitor.enforcers.protocol import FailureCause
from monitor.model.addresses import Network, host, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

PROVEN, SPOOFABLE = Strength.PROVEN, Strength.SPOOFABLE
NETWORKS = ["192.0.2.1", "255.255.255.255", "198.51.100.0/24", "198.51.101.0/24", "240.0.0.0/4", "2001:db8::1",
            "2001:db8:1::/48", "ff00::/8"]  # fmt: skip


def _ban(network: Network | str, until_s: float = 1000, strength: Strength = PROVEN) -> Ban:
    if isinstance(network, str):
        network = parse_network(network)
    return Ban(network, strength, since_s=0, until_s=until_s, detector="test", reason="test")


def _setup_with(max_bans: int, allowlist: list[Network]) -> None:
    """Set up as another process would that is configured for `max_bans`."""
    with contextlib.closing(NftablesEnforcer(max_bans=max_bans)) as other:
        other.setup(allowlist)


def _names(enforcer: NftablesEnforcer) -> list[str]:
    return sorted(str(element.network) for element in enforcer.elements())


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file; each starts without a table."""
    with Lab("node", label="nft") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def enforcer(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an enforcer whose table is there and empty."""
    enforcer = NftablesEnforcer(max_bans=100_000)
    enforcer.flush()
    enforcer.setup([])
    yield enforcer
    enforcer.close()


def test_add_lookup_elements_and_remove_agree(enforcer: NftablesEnforcer, node: Host) -> None:
    """Hosts and prefixes of both families and strengths are added, found, listed as prefixes and removed."""
    bans = [_ban(text, strength=strength) for text in NETWORKS for strength in Strength]
    assert enforcer.add(bans, now_s=0) == []
    for ban in bans:
        element = enforcer.lookup(ban.network, ban.strength)
        assert element is not None
        assert (element.network, element.strength) == (ban.network, ban.strength)
        assert element.timeout_s == pytest.approx(1000, abs=5)
    listed = {(element.network, element.strength) for element in enforcer.elements()}
    assert listed == {(ban.network, ban.strength) for ban in bans}
    table = node.run("nft", "list", "table", "inet", "nodewarden").stdout
    assert all(table.count(f"{text} counter packets 0 bytes 0 timeout") == len(Strength) for text in NETWORKS)
    enforcer.remove([(ban.network, ban.strength) for ban in bans])
    enforcer.remove([(ban.network, ban.strength) for ban in bans])
    assert enforcer.elements() == []


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_a_whole_family_can_be_banned_refreshed_and_lifted(enforcer: NftablesEnforcer, text: str) -> None:
    """A prefix without a beginning or an end beside it is still one element."""
    network = parse_network(text)
    assert enforcer.add([_ban(network)], now_s=0) == []
    assert enforcer.refresh([_ban(network, 5000)], now_s=0) == []
    element = enforcer.lookup(network, PROVEN)
    assert element is not None
    assert element.timeout_s == pytest.approx(5000, abs=5)
    assert _names(enforcer) == [text]
    enforcer.remove([(network, PROVEN)])
    assert enforcer.elements() == []


def test_lookup_finds_exactly_the_network_asked_for(enforcer: NftablesEnforcer) -> None:
    """Neither a wider nor a narrower ban is taken for the one asked for."""
    enforcer.add([_ban("10.0.0.0/16"), _ban("10.1.0.0/16"), _ban("248.0.0.0/5")], now_s=0)
    for text in ["10.0.0.0/15", "10.0.0.0/17", "10.0.128.0/17", "240.0.0.0/4", "248.0.0.0/6", "10.0.0.0", "11.0.0.0/8"]:
        assert enforcer.lookup(parse_network(text), PROVEN) is None
    assert enforcer.lookup(parse_network("10.0.0.0/16"), SPOOFABLE) is None
    assert enforcer.lookup(parse_network("10.0.0.0/16"), PROVEN) is not None


def test_bans_that_have_ended_are_skipped_and_short_ones_end_by_themselves(enforcer: NftablesEnforcer) -> None:
    """Time is counted from `now_s`, rounded up to a millisecond, and the kernel ends the ban."""
    assert enforcer.add([_ban("192.0.2.1", 10), _ban("192.0.2.2", 20.0001)], now_s=20) == []
    assert enforcer.lookup(parse_network("192.0.2.1"), PROVEN) is None
    assert enforcer.add([_ban("192.0.2.3", float("inf"))], now_s=20) == []
    element = enforcer.lookup(parse_network("192.0.2.3"), PROVEN)
    assert element is not None
    assert element.timeout_s is not None
    assert element.timeout_s > 1e9


@pytest.mark.parametrize("text", NETWORKS)
def test_refresh_lengthens(enforcer: NftablesEnforcer, text: str) -> None:
    """A later end replaces the old one in hash and in interval sets, and the element stays one."""
    network = parse_network(text)
    enforcer.add([_ban(network, 100)], now_s=0)
    assert enforcer.refresh([_ban(network, 5000)], now_s=0) == []
    element = enforcer.lookup(network, PROVEN)
    assert element is not None
    assert element.timeout_s == pytest.approx(5000, abs=5)
    assert _names(enforcer) == [text]


def test_setup_again_keeps_bans_and_replaces_the_allowlist(enforcer: NftablesEnforcer, node: Host) -> None:
    """A restart of the daemon forgets no ban and doubles no rule."""
    enforcer.add([_ban(text) for text in NETWORKS], now_s=0)
    enforcer.setup([parse_network("10.0.0.0/8"), parse_network("10.1.0.0/16")])
    before = node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout
    _setup_with(100_000, [parse_network("10.0.0.0/8")])
    assert node.run("nft", "-s", "list", "table", "inet", "nodewarden").stdout == before
    assert _names(enforcer) == sorted(NETWORKS)
    enforcer.setup([parse_network("10.1.0.0/16")])
    assert "{ 10.1.0.0/16 }" in node.run("nft", "list", "set", "inet", "nodewarden", "allow4").stdout
    enforcer.set_allowlist([parse_network(t) for t in ("10.0.0.0/8", "10.9.0.0/16", "255.255.255.255", "fe80::/10")])
    assert "{ 10.0.0.0/8, 255.255.255.255 }" in node.run("nft", "list", "set", "inet", "nodewarden", "allow4").stdout
    assert "{ fe80::/10 }" in node.run("nft", "list", "set", "inet", "nodewarden", "allow6").stdout


def test_another_max_bans_keeps_bans_with_their_times(enforcer: NftablesEnforcer, node: Host) -> None:
    """A changed size replaces the table and carries every ban; a smaller one keeps those that last longest."""
    enforcer.add([_ban(text, 100 + index) for index, text in enumerate(NETWORKS)], now_s=0)
    enforcer.add([_ban(f"192.0.2.{n}", 500_000 + n) for n in range(10, 20)], now_s=0)
    _setup_with(200_000, [])
    assert "size 200000" in node.run("nft", "list", "set", "inet", "nodewarden", "ban4").stdout
    assert len(enforcer.elements()) == len(NETWORKS) + 10
    element = enforcer.lookup(parse_network("192.0.2.19"), PROVEN)
    assert element is not None
    assert element.timeout_s == pytest.approx(500_019, abs=5)
    _setup_with(5, [])
    kept = [str(e.network) for e in enforcer.elements() if e.network.is_host and len(e.network.address) == 4]
    assert sorted(kept) == [f"192.0.2.{n}" for n in range(15, 20)]


def test_a_foreign_definition_of_our_sets_is_replaced(enforcer: NftablesEnforcer, node: Host) -> None:
    """A table of our name but another form, made by an older version say, does not stop the daemon."""
    enforcer.flush()
    node.nft("add table inet nodewarden\nadd set inet nodewarden ban4 { type ipv4_addr; flags timeout; }\n"
             "add element inet nodewarden ban4 { 192.0.2.9 timeout 1h }\n")  # fmt: skip
    enforcer.setup([])
    assert _names(enforcer) == ["192.0.2.9"]
    assert len(enforcer.counters()) == 16


def test_fifty_thousand_in_one_call(enforcer: NftablesEnforcer) -> None:
    """A restart's worth of bans goes in, is listed, and comes out."""
    networks = [host((0x0B000000 + n).to_bytes(4)) for n in range(50_000)]
    assert enforcer.add([_ban(network) for network in networks], now_s=0) == []
    assert {element.network for element in enforcer.elements()} == set(networks)
    enforcer.remove([(network, PROVEN) for network in networks])
    assert enforcer.elements() == []


def test_what_the_kernel_refuses_does_not_stop_the_others(enforcer: NftablesEnforcer, node: Host) -> None:
    """A range that somebody put there by hand and that is no prefix stands in the way of one ban, not of the others."""
    node.run("nft", "add", "element", "inet", "nodewarden", "ban4_nets", "{ 10.1.0.1-10.1.0.5 }")
    good = ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"]
    for change in (enforcer.add, enforcer.refresh):
        failures = change([_ban(text) for text in [good[0], "10.0.0.0/8", *good[1:]]], now_s=0)
        assert [(str(f.network), f.cause) for f in failures] == [("10.0.0.0/8", FailureCause.OVERLAP)]
        assert _names(enforcer) == sorted(good)


def test_a_full_set_says_so(node: Host, enforcer: NftablesEnforcer) -> None:
    """What fits is in force, the rest comes back as set_full, and a full set can still be refreshed."""
    _setup_with(10, [])
    failures = enforcer.add([_ban(f"192.0.2.{n}") for n in range(30)], now_s=0)
    assert {failure.cause for failure in failures} == {FailureCause.SET_FULL}
    assert failures[0].reason == "set ban4 is full"
    held = enforcer.elements()
    assert (len(failures), len(held)) == (20, 10)
    assert enforcer.refresh([_ban(element.network, 9000) for element in held], now_s=0) == []


def test_a_table_deleted_under_us_is_told(enforcer: NftablesEnforcer, node: Host) -> None:
    """Each call that needs the table says that it is gone; a new setup mends it."""
    node.nft("delete table inet nodewarden\n")
    assert not enforcer.exists()
    for call in (
        lambda: enforcer.add([_ban("192.0.2.1")], 0),
        lambda: enforcer.refresh([_ban("240.0.0.0/4")], 0),
        lambda: enforcer.set_allowlist([]),
        enforcer.counters,
        enforcer.elements,
    ):
        with pytest.raises(TableMissing):
            call()
    enforcer.remove([(parse_network("192.0.2.1"), PROVEN)])
    assert enforcer.lookup(parse_network("192.0.2.1"), PROVEN) is None
    enforcer.setup([])
    assert enforcer.add([_ban("192.0.2.1")], 0) == []


def test_nobody_elses_table_is_touched(enforcer: NftablesEnforcer, node: Host) -> None:
    """Another ruleset is byte for byte the same before and after all that we do."""
    enforcer.flush()
    node.nft("table ip filter { set ban4 { type ipv4_addr; elements = { 1.1.1.1 }\n }\n"
             "chain ban { type filter hook input priority 0; ip saddr @ban4 drop\n }\n}\n"
             "table inet other { counter ban4 { packets 3 bytes 4\n }\n}\n")  # fmt: skip
    before = node.run("nft", "list", "ruleset").stdout
    enforcer.setup([parse_network("10.0.0.0/8")])
    enforcer.add([_ban(text) for text in NETWORKS], now_s=0)
    enforcer.refresh([_ban(text) for text in NETWORKS], now_s=0)
    _setup_with(7, [])
    enforcer.remove([(parse_network(text), PROVEN) for text in NETWORKS])
    enforcer.flush()
    enforcer.flush()
    assert node.run("nft", "list", "ruleset").stdout == before
    node.nft("delete table ip filter\ndelete table inet other\n")


def test_a_socket_too_small_only_means_more_transactions(
    enforcer: NftablesEnforcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel cannot take or answer a chunk as a whole, halves of it go through."""
    monkeypatch.setattr(netlink_socket, "_SO_SNDBUFFORCE", 7)  # SO_SNDBUF
    monkeypatch.setattr(netlink_socket, "_SO_RCVBUFFORCE", 8)  # SO_RCVBUF
    monkeypatch.setattr(netlink_socket, "_BUFFER_BYTES", 8192)
    enforcer.close()
    opened = enforcer._socket()
    opened.send_limit_bytes = 1 << 20
    bans = [_ban(host((0x0B000000 + n).to_bytes(4))) for n in range(2000)]
    assert enforcer.add(bans, now_s=0) == []
    assert len(enforcer.elements()) == 2000
    enforcer.remove([(ban.network, PROVEN) for ban in bans * 2])
    assert enforcer.elements() == []


def test_a_replacement_larger_than_any_socket_takes_keeps_all_bans(
    enforcer: NftablesEnforcer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the privilege for a large buffer, table and rules are replaced first, and the bans follow at once."""
    networks = [host((0x0B000000 + n).to_bytes(4)) for n in range(20_000)]
    assert enforcer.add([_ban(network) for network in networks], now_s=0) == []
    monkeypatch.setattr(NetlinkSocket, "_enlarge", lambda *_: None)
    monkeypatch.setattr(netlink_socket, "_BUFFER_BYTES", 32768)
    _setup_with(200_000, [parse_network("10.0.0.0/8")])
    assert {element.network for element in enforcer.elements()} == set(networks)
    assert "do not fit into one transaction" in caplog.text
    caplog.clear()
    monkeypatch.undo()
    _setup_with(100_000, [])
    assert {element.network for element in enforcer.elements()} == set(networks)
    assert not caplog.text


def test_without_the_capability_the_message_says_what_to_do(node: Host, tmp_path: Path) -> None:
    """A process without CAP_NET_ADMIN gets a PermanentError that names it."""
    script = tmp_path / "attempt.py"
    script.write_text(
        "from monitor.enforcers.nftables.enforcer import NftablesEnforcer\n"
        "from monitor.model.errors import PermanentError\n"
        "for call in (lambda e: e.setup([]), lambda e: e.flush(), lambda e: e.exists(), lambda e: e.elements()):\n"
        "    try:\n        call(NftablesEnforcer(max_bans=5))\n"
        "    except PermanentError as error:\n        print(error)\n"
    )
    root = Path(__file__).parents[2]
    python = root / ".venv/bin/python"
    done = node.run("env", f"PYTHONPATH={root}", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
                    python if python.exists() else "python3", script)  # fmt: skip
    assert done.stdout.count("needs CAP_NET_ADMIN") == 4
    assert done.stderr == ""
