"""Renewing lists: whatever a source does, the last good copy stays as it was and the state says what is wrong."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from monitor.lists.faults import ListCause
from monitor.lists.fetch import FetchLimits
from monitor.lists.file import list_path, read_header, read_list
from monitor.lists.judgement import MAX_SHARE, Extent, check_extent
from monitor.lists.never import NeverEntry
from monitor.lists.renewal import NodeView, Renewal, Step
from monitor.lists.settings import ListFormat, ListSettings
from monitor.lists.state import ListState, names_on_disk, read_state, state_path, write_state
from monitor.model.addresses import host, parse_address, parse_network
from tests.support.list_server import Answer, ListServer, empty, ok

NOW, HOUR, DAY = 1_000_000_000.0, 3600.0, 86400.0
VIEW = NodeView((NeverEntry(host(parse_address("203.0.113.255")), "this node"),))


def text(count: int) -> bytes:
    """Return a list of so many addresses."""
    return b"".join(b"20.%d.%d.%d\n" % (number >> 16, number >> 8 & 255, number & 255) for number in range(count))


def _silence(server: ListServer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    server.pause(9)


class Rig:
    """A server, a state directory, and a list that was fetched once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "lists").mkdir()
        self.server = ListServer(ok(text(100), 'ETag: "1"'))
        self.settings = ListSettings(url=self.server.url)
        self.now_s = NOW
        assert self.renew()[0] is Step.RENEWED

    @property
    def copy(self) -> bytes:
        """The bytes of the copy."""
        return list_path(self.directory, "drop").read_bytes()

    @property
    def state(self) -> ListState:
        """The state on disk."""
        return read_state(state_path(self.directory, "drop"))

    def renew(self, *, view: NodeView = VIEW, accept: bool = False) -> tuple[Step, ListState]:
        """Renew the list now."""
        limits = FetchLimits(total_s=5.0, idle_s=0.3)
        return Renewal(self.directory, view, limits).renew("drop", self.settings, self.now_s, accept=accept)

    def a_day_later(self, answer: Answer) -> tuple[Step, ListState]:
        """Renew with another answer of the server."""
        self.now_s += DAY
        self.server.answer = answer
        return self.renew()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig."""
    one = Rig(tmp_path)
    yield one
    one.server.close()


def test_the_first_copy_says_what_it_is(rig: Rig) -> None:
    """Header and state hold what `status` shows; nothing else is left in the directory."""
    header = read_header(list_path(rig.directory, "drop"))
    assert (header.name, header.entries4, header.fetched_s) == ("drop", 100, NOW)
    assert header.expires_s == NOW + 7 * DAY
    assert (rig.state.fault, rig.state.etag, rig.state.account.taken) == ("", '"1"', 100)
    assert sorted(path.name for path in (rig.directory / "lists").iterdir()) == ["drop.list", "drop.state"]
    assert names_on_disk(rig.directory / "lists") == {"drop"}


ACCIDENTS: list[tuple[str, Callable[[ListServer], Answer], ListCause]] = [
    ("404", lambda _: empty("404 Not Found"), ListCause.STATUS),
    ("HTML with 200", lambda _: ok(b"<html>198.51.100.1</html>"), ListCause.CONTENT),
    ("HTML by type", lambda _: ok(text(100), "Content-Type: text/html"), ListCause.CONTENT),
    ("empty", lambda _: ok(b""), ListCause.EMPTY),
    ("only comments", lambda _: ok(b"# no data today\n"), ListCause.EMPTY),
    ("only private", lambda _: ok(b"10.0.0.0/8\n192.168.0.0/16\n127.0.0.1\n"), ListCause.EMPTY),
    ("halved", lambda _: ok(text(50)), ListCause.JUMP),
    ("doubled", lambda _: ok(text(200)), ListCause.JUMP),
    ("a wide network more", lambda _: ok(text(100) + b"5.0.0.0/8\n"), ListCause.JUMP),
    ("all of the Internet", lambda _: ok(b"".join(b"%d.0.0.0/8\n" % n for n in range(1, 130))), ListCause.JUMP),
    ("more than max", lambda _: ok(text(70_000)), ListCause.FULL),
    ("another format", lambda _: ok(text(100).replace(b"\n", b",a\n")), ListCause.LINES),
    ("truncated", lambda _: ok(text(100))[:-300], ListCause.TRUNCATED),
    ("truncated gzip", lambda _: ok(gzip.compress(text(100))[:-9]), ListCause.TRUNCATED),
    ("encoding", lambda _: ok(text(100), "Content-Encoding: zstd"), ListCause.CONTENT),
    ("redirect", lambda _: empty("302 Found", "Location: http://127.0.0.1/"), ListCause.REDIRECT),
    ("silence", lambda server: lambda _: _silence(server), ListCause.TIMEOUT),
    ("connection closed", lambda _: b"", ListCause.UNREACHABLE),
]


@pytest.mark.parametrize(("make", "cause"), [one[1:] for one in ACCIDENTS], ids=[one[0] for one in ACCIDENTS])
def test_every_accident_keeps_the_last_good_copy(
    rig: Rig, make: Callable[[ListServer], Answer], cause: ListCause
) -> None:
    """Byte for byte; the state says what happened and since when, and a good answer ends that."""
    before, etag = rig.copy, rig.state.etag
    step, _ = rig.a_day_later(make(rig.server))
    assert step is Step.FAILED
    assert rig.copy == before
    assert (rig.state.cause, rig.state.failures, rig.state.fault_since_s) == (cause, 1, rig.now_s)
    assert rig.state.fault.isprintable()
    assert (rig.state.etag, rig.state.fetched_s) == (etag, NOW)
    rig.a_day_later(make(rig.server))
    assert (rig.state.failures, rig.state.fault_since_s) == (2, NOW + DAY)
    step, state = rig.a_day_later(ok(text(101)))
    assert (step, state.fault, state.cause, state.failures) == (Step.RENEWED, "", "", 0)
    assert read_header(list_path(rig.directory, "drop")).fetched_s == rig.now_s


@pytest.mark.parametrize("make", [one[1] for one in ACCIDENTS if one[2] is not ListCause.JUMP])
def test_no_accident_makes_a_first_copy(tmp_path: Path, make: Callable[[ListServer], Answer]) -> None:
    """Nothing is in force rather than something by mistake."""
    (tmp_path / "lists").mkdir()
    server = ListServer()
    server.answer = make(server)
    try:
        renewal = Renewal(tmp_path, VIEW, FetchLimits(total_s=5.0, idle_s=0.2))
        assert renewal.renew("drop", ListSettings(url=server.url), NOW)[0] is Step.FAILED
        assert not list_path(tmp_path, "drop").exists()
        assert read_state(state_path(tmp_path, "drop")).fault
    finally:
        server.close()


def test_not_modified_renews_the_copy(rig: Rig) -> None:
    """It is good for another week, with the same networks, which is what its digest says."""
    digest = read_header(list_path(rig.directory, "drop")).digest
    step, _ = rig.a_day_later(empty("304 Not Modified"))
    assert step is Step.UNCHANGED
    assert b'If-None-Match: "1"' in rig.server.requests[-1]
    header = read_header(list_path(rig.directory, "drop"))
    assert (header.digest, header.expires_s, header.entries4) == (digest, NOW + 8 * DAY, 100)


def test_a_copy_that_is_damaged_or_made_by_other_rules_is_fetched_whole(rig: Rig) -> None:
    """`not modified` says nothing about a copy that is gone, or that lacks what is allowed no longer."""
    list_path(rig.directory, "drop").write_bytes(rig.copy[:-1])
    rig.a_day_later(ok(text(100), 'ETag: "1"'))
    assert b"If-None-Match" not in rig.server.requests[-1]
    assert read_list(list_path(rig.directory, "drop")).header.entries4 == 100
    rig.renew(view=NodeView((NeverEntry(host(parse_address("20.0.0.1")), "on the allowlist"),)))
    assert b"If-None-Match" not in rig.server.requests[-1]
    assert read_list(list_path(rig.directory, "drop")).header.entries4 == 99


def test_an_unlikely_size_is_taken_when_an_operator_accepts_it(rig: Rig) -> None:
    """And is then what the next one is compared with."""
    assert rig.a_day_later(ok(text(300)))[1].cause == ListCause.JUMP
    rig.now_s += 60
    assert rig.renew(accept=True)[0] is Step.RENEWED
    assert rig.state.account.taken == 300
    assert rig.a_day_later(ok(text(310)))[0] is Step.RENEWED


def test_sources_are_not_asked_more_often_than_agreed(rig: Rig) -> None:
    """After a success once in `every`; after faults an hour later, then less and less often, never more seldom."""
    asked = len(rig.server.requests)
    for pause_s in (0.0, 60.0, DAY - 60.0 - 1.0):
        rig.now_s += pause_s
        assert rig.renew()[0] is Step.NOT_DUE
    assert len(rig.server.requests) == asked
    rig.server.answer = empty("503 Busy")
    rig.now_s = NOW + DAY
    assert rig.renew()[0] is Step.FAILED
    for hours in (1, 2, 4, 8, 16, 24, 24):
        rig.now_s += hours * HOUR - 1.0
        assert rig.renew()[0] is Step.NOT_DUE
        rig.now_s += 1.0
        assert rig.renew()[0] is Step.FAILED


def test_a_clock_that_was_set_back_stops_nothing(rig: Rig) -> None:
    """An attempt in the future was none."""
    rig.now_s = NOW - 365 * DAY
    assert rig.renew()[0] is Step.UNCHANGED


def test_changed_settings_are_followed_at_once(rig: Rig) -> None:
    """Another source is nothing to compare with; its copy replaces the other one only when it is there."""
    before = rig.copy
    rig.now_s += 60
    rig.server.answer = empty("404 Not Found")
    rig.settings = ListSettings(url=rig.server.url + "?other")
    assert rig.renew()[0] is Step.FAILED
    assert rig.copy == before
    rig.server.answer = ok(b"192.0.2.0/24\n")
    rig.now_s += HOUR
    assert rig.renew()[0] is Step.RENEWED
    assert rig.state.source == rig.server.url


def test_a_damaged_state_starts_anew(rig: Rig) -> None:
    """Whatever is in the file, it is no traceback, and no request with what somebody wrote there."""
    path = state_path(rig.directory, "drop")
    for content in (b"", b"[", b"{}" * 9, b'{"v": "x"}', b"[" * 60_000, b"x" * 70_000, b"\xff"):
        path.write_bytes(content)
        rig.now_s += DAY
        assert rig.renew()[0] is Step.UNCHANGED
        assert b"If-None-Match" not in rig.server.requests[-1]


def test_a_file_as_a_source(tmp_path: Path) -> None:
    """It is read when it changed; what is no regular file, is missing or is written meanwhile is a fault."""
    (tmp_path / "lists").mkdir()
    source = tmp_path / "source.txt"
    source.write_bytes(text(20))
    renewal = Renewal(tmp_path, VIEW)
    settings = ListSettings(file=str(source))
    assert renewal.renew("own", settings, NOW)[0] is Step.RENEWED
    assert renewal.renew("own", settings, NOW + 60)[0] is Step.UNCHANGED
    source.write_bytes(gzip.compress(text(21)))
    assert renewal.renew("own", settings, NOW + 120)[0] is Step.RENEWED
    assert read_header(list_path(tmp_path, "own")).expires_s == NOW + 120 + 7 * DAY
    for place in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        step, state = renewal.renew("own", ListSettings(file=str(place)), NOW + 180)
        assert (step, state.cause) == (Step.FAILED, ListCause.FILE)


def test_a_full_disk_keeps_the_copy(rig: Rig) -> None:
    """The error is the caller's to report; the copy is whole."""
    before = rig.copy
    (rig.directory / "lists" / ".drop.list.new").mkdir()  # in the place of the new copy, and no file
    with pytest.raises(OSError):  # noqa: PT011
        rig.a_day_later(ok(text(101)))
    assert rig.copy == before


@pytest.mark.parametrize(
    ("before", "now", "is_taken"),
    [
        (None, Extent(1_000_000, 0.2, 0.0), True),
        (None, Extent(100, MAX_SHARE + 0.01, 0.0), False),
        (None, Extent(100, 0.0, MAX_SHARE + 0.01), False),
        (Extent(100, 0.3, 0.0), Extent(100, 0.31, 0.0), True),
        (Extent(4, 0.0, 0.0), Extent(9, 0.0, 0.0), True),
        (Extent(10, 0.0, 0.0), Extent(20, 0.0, 0.0), False),
        (Extent(20, 0.0, 0.0), Extent(10, 0.0, 0.0), False),
        (Extent(1000, 0.0, 0.0), Extent(501, 0.0, 0.0), True),
        (Extent(1000, 0.0, 0.0), Extent(500, 0.0, 0.0), False),
        (Extent(1000, 0.0, 0.0), Extent(1999, 0.0, 0.0), True),
        (Extent(1000, 0.0, 0.0), Extent(2000, 0.0, 0.0), False),
        (Extent(100, 0.0, 0.0), Extent(100, 0.0039, 0.0), False),
        (Extent(100, 0.002, 0.0), Extent(100, 0.0035, 0.0), True),
        (Extent(100, 0.0, 0.0), Extent(100, 0.0, 0.01), False),
    ],
)
def test_which_sizes_are_believed(before: Extent | None, now: Extent, is_taken: bool) -> None:
    """Half, double, a much larger part of the Internet, and a list of all of it."""
    if is_taken:
        check_extent(before, now)
    else:
        with pytest.raises(Exception, match="--accept"):
            check_extent(before, now)


def test_lifetimes() -> None:
    """A week or three rounds, unless it is configured; never shorter than a round."""
    assert ListSettings(url="https://x").lifetime_s == 7 * DAY
    assert ListSettings(url="https://x", every_s=7 * DAY).lifetime_s == 21 * DAY
    assert ListSettings(url="https://x", expires_s=2 * DAY).lifetime_s == 2 * DAY


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (ListSettings(), "file"),
        (ListSettings(url="https://x", file="/x"), "url"),
        (ListSettings(url="https://x", expires_s=HOUR), "expires"),
        (ListSettings(url="https://x", column=2), "column"),
        (ListSettings(url="https://x", wider=(parse_network("0.0.0.0/0"),)), "wider"),
    ],
)
def test_settings_that_contradict_each_other(settings: ListSettings, key: str) -> None:
    """Each is a fault with its place."""
    assert [conflict.keys for conflict in settings.conflicts()] == [(key,)]
    good = ListSettings(url="https://x", column=2, format=ListFormat.CSV, expires_s=2 * DAY)
    assert list(good.conflicts()) == []


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The longest texts fit."""
    state = ListState(name="a", fault="x" * 1000, etag="e" * 512)
    state.account.licence = "l" * 500
    write_state(tmp_path / "a.state", state)
    assert msgspec.to_builtins(read_state(tmp_path / "a.state")) == msgspec.to_builtins(state)
