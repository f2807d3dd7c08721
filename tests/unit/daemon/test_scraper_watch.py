"""Who monitors this node is protected, or it is a problem when the guard bans them."""

import time

import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.daemon.life.scraper_watch import MAX_PROTECTED, REASON, ScraperWatch
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.errors import TemporaryError
from monitor.model.problems import ProblemKind
from monitor.recording.inputs import OrderedBan
from monitor.settings.bans import ProtectedScrapers
from monitor.settings.schema import Settings

INSIDE, OUTSIDE = "10.0.0.9", "198.51.100.9"


class Site:
    """A pipeline with a watch, and a clock."""

    def __init__(self, protected: ProtectedScrapers = ProtectedScrapers.INTERNAL) -> None:
        self.pipeline = Pipeline(Settings(), (), lambda *_: Enforcement(MemoryLeader()))
        self.now_s = 1000.0
        self.fails = False
        self.watch = ScraperWatch(self.pipeline, protected, 9843, self._follow, lambda: self.now_s)

    def _follow(self) -> None:
        if self.fails:
            raise TemporaryError("the kernel has no memory")
        self.pipeline.follow_node(self.watch.entries, self.now_s)

    def scrape(self, peer: str, times: int = 3) -> None:
        """Have a client scrape at even intervals, with the daemon's tick after each."""
        for _ in range(times):
            self.now_s += 15.0
            self.watch.note(peer)
            self.watch.tick()

    def ban(self, network: str, ports: bytes = b"") -> Decision:
        """Order a ban."""
        banned = parse_network(network)
        target = Network(banned.address, banned.prefix_length, ports)
        order = OrderedBan(target, Strength.PROVEN, 600.0, "a test")
        (decision,) = self.pipeline.order([order], self.now_s)
        self.watch.tick()
        return decision

    def protects(self, network: str) -> bool:
        """Whether the guard does."""
        return self.pipeline.guard.protects(parse_network(network)) is not None

    def states(self) -> dict[str, float]:
        """Return the metric by state."""
        return {labels[0]: value for _, labels, value in self.watch.samples()}


def test_an_internal_scraper_cannot_be_banned() -> None:
    """From its third scrape until an hour after its last; `why` has the reason, and says when it scraped."""
    site = Site()
    site.scrape(INSIDE, 2)
    assert not site.protects(INSIDE)
    site.scrape(INSIDE, 1)
    refused = site.ban(INSIDE)
    assert (refused.verdict, refused.entry and refused.entry.reason) == (Verdict.ALLOWLISTED, REASON)
    assert site.states() == {"protected": 1, "unprotected": 0, "banned": 0}
    site.now_s += 5
    assert site.watch.describe(parse_network(INSIDE)) == {"ago_s": 5.0, "is_banned": False}
    assert site.watch.describe(parse_network("10.0.0.0/8")) is None
    site.now_s += 3600
    site.watch.tick()
    assert not site.protects(INSIDE)


@pytest.mark.parametrize(
    ("protected", "inside", "outside"),
    [
        (ProtectedScrapers.INTERNAL, True, False),
        (ProtectedScrapers.ALL, True, True),
        (ProtectedScrapers.NONE, False, False),
    ],
)
def test_strangers_are_protected_only_if_the_setting_says_so(
    protected: ProtectedScrapers, inside: bool, outside: bool
) -> None:
    """What is not protected is a note while it may be banned, and a problem in doctor and status when it is."""
    site = Site(protected)
    for peer, is_protected in ((INSIDE, inside), (OUTSIDE, outside)):
        site.scrape(peer)
        assert site.protects(peer) is is_protected
        assert any(peer in notice for notice in site.watch.notices()) is not is_protected
        is_banned = site.ban(peer).verdict is Verdict.BAN
        assert is_banned is not is_protected
        assert (parse_network(peer).address in site.watch.banned) is is_banned
        assert any(peer in one.text for one in site.watch.problems()) is is_banned
    wanted = (not inside) + (not outside)
    assert {one.kind for one in site.watch.problems()} <= {ProblemKind.SCRAPER_BANNED}
    assert bool(site.watch.part().requirements[0].missing) is bool(wanted)
    assert site.states() == {"protected": 2 - wanted, "unprotected": 0, "banned": wanted}
    site.now_s += 4 * 3600
    site.watch.tick()
    assert len(site.watch.banned) == wanted, "it cannot scrape, so it is not forgotten"


def test_a_setting_that_changes_takes_hold() -> None:
    """And back."""
    site = Site(ProtectedScrapers.ALL)
    site.scrape(OUTSIDE)
    for protected, expected in ((ProtectedScrapers.INTERNAL, False), (ProtectedScrapers.ALL, True)):
        site.watch.reconfigure(protected)
        site.watch.tick()
        assert site.protects(OUTSIDE) is expected


def test_strangers_who_ask_once_are_no_monitors() -> None:
    """Whoever finds the port open and is banned then is no problem; an internal client is, after one request."""
    site = Site()
    site.watch.note(OUTSIDE)
    site.watch.note(INSIDE)
    site.ban(OUTSIDE)
    assert not list(site.watch.problems())
    site.ban(INSIDE)
    (problem,) = site.watch.problems()
    assert f"{INSIDE} (manual)" in problem.text


def test_a_ban_of_other_ports_does_not_matter() -> None:
    """A client that is banned from ssh still scrapes; one that is banned from the port of the metrics does not."""
    site = Site()
    site.scrape(OUTSIDE)
    site.ban(OUTSIDE, b"\x06\x00\x16")
    assert not site.watch.banned
    site.ban(OUTSIDE, b"\x06" + (9843).to_bytes(2))
    assert len(site.watch.banned) == 1


def test_few_are_protected() -> None:
    """Of a whole network that scrapes, sixteen; all others are named in a note."""
    site = Site()
    for _ in range(3):
        site.now_s += 15.0
        for number in range(40):
            site.watch.note(f"10.0.1.{number}")
        site.watch.tick()
    assert len(site.watch.entries) == MAX_PROTECTED
    (notice,) = site.watch.notices()
    assert notice.startswith("10.0.1.16, 10.0.1.17, 10.0.1.18 and 21 more scrapes metrics")


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_node_needs_no_protection(peer: str) -> None:
    """Its own addresses are never banned anyway."""
    site = Site()
    site.scrape(peer)
    assert (site.watch.entries, site.watch.notices()) == ([], [])


def test_an_address_with_a_zone_is_read() -> None:
    """Link-local clients come with the interface, and IPv4 clients of an IPv6 socket mapped."""
    site = Site()
    for peer in ("fe80::1%eth0", f"::ffff:{INSIDE}"):
        site.scrape(peer)
    assert site.protects(INSIDE)


def test_an_allowlist_that_cannot_follow_is_tried_again() -> None:
    """The kernel refuses it once: the next tick protects."""
    site = Site()
    site.scrape(INSIDE, 2)
    site.fails = True
    with pytest.raises(TemporaryError):
        site.scrape(INSIDE, 1)
    site.fails = False
    site.watch.tick()
    assert site.protects(INSIDE)


def test_a_restart_forgets_no_client_that_is_banned() -> None:
    """It cannot scrape again; one that is not banned is protected at once; strangers who asked once are not kept."""
    before = Site()
    before.scrape(INSIDE)
    before.scrape(OUTSIDE)
    before.watch.note("198.51.100.77")
    before.ban(OUTSIDE)
    rows = before.watch.export(100)
    after = Site()
    after.watch.resume(rows, time.time())
    after.ban(OUTSIDE)
    assert after.states() == {"protected": 1, "unprotected": 0, "banned": 1}
    assert after.protects(INSIDE)
    late = Site()
    late.watch.resume(rows, time.time() + 5000.0)
    late.ban(OUTSIDE)
    assert late.states() == {"protected": 0, "unprotected": 0, "banned": 1}
    late.watch.resume([(b"damaged", b"", 0.0)], time.time())
    assert len(late.watch.export(100)) == 1


def test_a_restart_makes_no_monitor_of_a_banned_host_that_asked_once() -> None:
    """Its ban stays a problem and in force: the restart must not protect whom the run before did not."""
    before = Site()
    before.scrape(INSIDE, 1)
    assert before.ban(INSIDE).verdict is Verdict.BAN
    for _ in range(2):
        after = Site()
        after.watch.resume(before.watch.export(100), time.time())
        assert after.ban(INSIDE).verdict is Verdict.BAN
        assert not after.protects(INSIDE)
        assert after.states() == {"protected": 0, "unprotected": 0, "banned": 1}
        before = after
