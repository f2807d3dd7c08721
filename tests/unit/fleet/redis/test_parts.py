"""The pure parts of the engine: URLs, lines, marks, the table of peers."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.fleet.engine import Change, Kind
from monitor.fleet.redis.address import Endpoint, Finding, read_address
from monitor.fleet.redis.clock import EngineClock
from monitor.fleet.redis.keys import FleetKeys, is_node_name
from monitor.fleet.redis.lines import LINE_BYTES, Mark, read_line, read_mark, split, write_pairs
from monitor.fleet.redis.peers import MAX_PEERS, Peers, Turn
from monitor.fleet.redis.published import Published

URLS = {
    "redis://h": (Finding.DIRECT, [("h", 6379)], False, "", 0),
    "rediss://user@h.example.org:7000/3": (Finding.DIRECT, [("h.example.org", 7000)], True, "", 3),
    "redis://[2001:db8::1]:7000": (Finding.DIRECT, [("2001:db8::1", 7000)], False, "", 0),
    "redis+sentinel://a,b:7/name": (Finding.SENTINEL, [("a", 26379), ("b", 7)], False, "name", 0),
    "rediss+sentinel://a/name/2": (Finding.SENTINEL, [("a", 26379)], True, "name", 2),
    "redis+cluster://a,b": (Finding.CLUSTER, [("a", 6379), ("b", 6379)], False, "", 0),
}
BAD_URLS = ["redis://", "redis://,", "redis://h:0", "redis://h:x", "redis://h:99999", "redis://a,b", "redis://h/x",
            "redis://2001:db8::1", "redis+sentinel://a", "redis+cluster://a/1", "redis://h/999999", "unix://",
            "unix://host/path", "unix:path"]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str) -> None:
    """Each scheme, with what it leaves out."""
    finding, seeds, is_tls, service, database = URLS[url]
    address = read_address(url)
    assert address[:5] == (finding, tuple(Endpoint(*seed) for seed in seeds), is_tls, service, database)


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls_that_name_no_server(url: str) -> None:
    """The text says what is missing."""
    with pytest.raises(ValueError, match=r"[a-z]{4}"):
        read_address(url)


CHANGES = st.lists(
    st.builds(Change, st.sampled_from(Kind), st.binary(max_size=300), st.binary(max_size=1000)), max_size=100
)


@settings(max_examples=40)
@given(CHANGES, st.integers(1, 10**15))
def test_lines_are_read_as_they_were_written(changes: list[Change], number: int) -> None:
    """In parts that each fit into a reply."""
    read = []
    for part in split(changes):
        assert len(part) == 1 or sum(len(change.field) + len(change.record) for change in part) <= LINE_BYTES
        line = read_line([b"%d-0" % number, list(write_pairs(part))])
        assert line is not None
        assert (line.number, line.resync) == (number, None)
        read += line.changes
    assert [change[:3] for change in read] == [change[:3] for change in changes]


@pytest.mark.parametrize("entry", [None, [], [b"x-0", []], [b"7-1", []], [b"7-0"], [7, []], [b"7-0", None], b"x"])
def test_lines_that_are_none(entry: object) -> None:
    """They are told from ours, whatever they are."""
    assert read_line(entry) is None  # type: ignore[arg-type]


def test_unknown_pairs_of_a_line_are_skipped() -> None:
    """A later version may write them."""
    line = read_line([b"7-0", [b"znew", b"x", b"bban 192.0.2.1", b"r", b"odd"]])
    assert line is not None
    assert line.changes == [Change(Kind.BAN, b"ban 192.0.2.1", b"r")]


def test_marks() -> None:
    """A number and a token, or nothing."""
    assert read_mark(b"12 token") == Mark(12, b"token")
    for value in (None, 7, b"", b"12", b"12 ", b"-1 x", b"x y", b"9" * 30 + b" x"):
        assert read_mark(value) is None


def test_peers_are_bounded_and_visited_in_turn() -> None:
    """Names that are none are not taken, and neither is our own."""
    peers = Peers(FleetKeys("t"), b"own")
    assert not any(peers.is_new(name) for name in (b"own", b"", b"UP", b"a b", b"x" * 64, b"\xff", None, 7))
    assert not is_node_name(b"-x")
    for number in range(MAX_PEERS):
        assert peers.add(b"n%d" % number, 0.0) is not None
    assert peers.is_full
    assert peers.add(b"more", 0.0) is None
    peers.visit_all()
    seen = [peer.name for _ in range(MAX_PEERS // 100 + 1) for peer in peers.visit(100)]
    assert sorted(seen) == sorted(peer.name for peer in peers)


def test_a_peer_is_read_at_a_pace() -> None:
    """One that writes without end has its share of a second; one that is no use is asked ever more seldom."""
    peer = Peers(FleetKeys("t"), b"own").add(b"x", 0.0)
    assert peer is not None
    assert peer.marked(5) is Turn.SNAPSHOT
    peer.read_all(5, 0.0, 1.0)
    assert (peer.marked(5), peer.marked(6), peer.marked(4)) == (Turn.NOTHING, Turn.LINES, Turn.SNAPSHOT)
    assert peer.snapshot_from_s == 21.0
    peer.count(5000, 30.0)
    assert not peer.may_read(30.5)
    assert peer.may_read(31.0)
    waits = []
    for _ in range(9):
        peer.found_bad(0.0)
        waits.append(peer.bad_until_s)
    assert (waits[0], waits[-1]) == (60.0, 3600.0)


def test_the_engines_clock_does_not_follow_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets the clock of this machine ends nothing that is published."""
    clock = EngineClock()
    assert not clock.set(1_000_000.0)
    monkeypatch.setattr("time.time", lambda: 5e9)
    assert abs(clock.now_s() - 1_000_000.0) < 100
    assert not clock.set(clock.now_s() + 1.0)
    assert clock.set(2_000_000.0)


def test_keys_outlive_the_latest_end() -> None:
    """Not for ever, and the stream stays for a while when nothing is in force."""
    published = Published()
    assert published.expires_ms(1000.0) == 4_660_000
    published.take(Change(Kind.BAN, b"a", b"r", 50_000.0))
    assert published.expires_ms(1000.0) == 50_060_000
    published.take(Change(Kind.BAN, b"b", b"r", 0.0))
    assert published.expires_ms(1000.0) == (1000 + 400 * 86_400 + 60) * 1000
    assert [change.field for change in published.ended(50_100.0)] == [b"a"]


def test_a_daemon_without_a_fleet_does_not_load_the_client() -> None:
    """The client costs 10 MB: neither the settings nor their checks need it."""
    code = (
        "import sys, monitor.daemon.life.service, monitor.daemon.selfcheck.configuration\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'redis'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
