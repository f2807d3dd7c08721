"""Signs that bans hurt whom they should not, by the real pipeline."""

import time

import pytest

from monitor.daemon.pipeline.evidence import CORROBORATING_ALERTS
from monitor.daemon.pipeline.harm import EARLY_S, RECENT_S, HarmWatch
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, Mode
from monitor.model.flows import FlowBatch
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import OrderedBan
from monitor.settings.schema import Settings
from tests.support.events import failure
from tests.support.flows import CLIENT, NODE, handshakes, incomplete
from tests.support.policy import willing_table

INSIDE = "10.0.0.9"
_NODE = AllowEntry(parse_network(NODE), OWN_ADDRESS)


class Site:
    """A pipeline with a watch."""

    def __init__(self) -> None:
        self.watch = HarmWatch(
            lambda alert: self.pipeline.evidence.was_client(alert),  # noqa: PLW0108 - made below
            lambda address: address in self.pipeline.surrounding.internal,
        )
        self.pipeline = Pipeline(Settings(), [_NODE], willing_table, (self.watch,))

    def flows(self, time_s: float, **more: object) -> None:
        """Take a batch of flows, then the tick."""
        self.pipeline.process([FlowBatch(time_s, **more)], time_s)  # type: ignore[arg-type]
        self.pipeline.tick(time_s)

    def fail(self, source: str, time_s: float, count: int = 10) -> None:
        """Fail to log in, again and again; then the tick."""
        self.pipeline.process([failure(source, time_s=time_s + number) for number in range(count)], time_s + count)
        self.pipeline.tick(time_s + count)

    def signs(self) -> dict[str, int]:
        """Return the totals that are not 0."""
        return {sign: count for sign, count in self.watch.totals.items() if count}

    def is_banned(self, source: str) -> bool:
        """Whether a ban of it is in force."""
        return any(ban.mode is Mode.ENFORCE for ban in self.pipeline.ledger.covering(parse_network(source)))


@pytest.mark.parametrize(("before_s", "signs"), [(1.0, {}), (300.0, {}), (900.0, {"client_banned": 1})])
def test_who_worked_with_us_for_long_before_may_be_no_offender(before_s: float, signs: dict[str, int]) -> None:
    """A guesser of passwords completes handshakes too, but it does not wait for a quarter of an hour to guess."""
    site = Site()
    site.flows(3000.0 - before_s, completed=handshakes(9))
    site.fail(CLIENT, 3000.0)
    assert site.is_banned(CLIENT)
    assert site.signs() == signs


def test_a_shun_of_a_client_is_a_sign() -> None:
    """Somebody forges its address for long enough that it is shunned after all; alerts in doubt before are none."""
    site = Site()
    site.flows(990.0, completed=handshakes(21))
    for turn in range(CORROBORATING_ALERTS):
        assert site.signs() == {}
        ports = range(1000 + 15 * turn, 1015 + 15 * turn)
        site.flows(1001.0 + turn, incomplete=[incomplete(port=port, was_refused=True) for port in ports])
    assert site.is_banned(CLIENT)
    assert site.signs() == {"client_shunned": 1}


def test_an_allowlisted_offender_is_a_sign_and_an_order_about_one_is_none() -> None:
    """Each alert counts; a person who bans an allowlisted address only made a mistake."""
    site = Site()
    site.pipeline.allow([AllowEntry(parse_network(CLIENT), "a friend")], 900.0)
    site.fail(CLIENT, 1000.0)
    assert set(site.signs()) == {"allowlisted"}
    count = site.signs()["allowlisted"]
    site.pipeline.order([OrderedBan(parse_network(CLIENT), Strength.PROVEN, 60.0, "")], 1020.0)
    assert site.signs() == {"allowlisted": count}


@pytest.mark.parametrize("how", ["unban", "allow", "flush"])
@pytest.mark.parametrize(("after_s", "signs"), [(EARLY_S - 60, {"lifted_early": 1}), (EARLY_S + 60, {})])
def test_a_ban_that_somebody_takes_back_soon_is_a_sign(how: str, after_s: float, signs: dict[str, int]) -> None:
    """By whatever command: the later, the less it says. A ban by hand that is taken back says nothing."""
    site = Site()
    site.fail(CLIENT, 1000.0)
    site.pipeline.order([OrderedBan(parse_network("192.0.2.50"), Strength.PROVEN, 9000.0, "")], 1010.0)
    now_s = 1010.0 + after_s
    site.pipeline.tick(now_s)
    networks = [parse_network(CLIENT), parse_network("192.0.2.50")]
    if how == "unban":
        site.pipeline.unban(networks, now_s)
    elif how == "allow":
        site.pipeline.allow([AllowEntry(network, "a friend") for network in networks], now_s)
    else:
        site.pipeline.flush(now_s)
    assert not site.is_banned(CLIENT)
    assert site.signs() == signs


def test_a_ban_that_expires_is_no_sign() -> None:
    """Nor is one that only was observed."""
    site = Site()
    site.fail(CLIENT, 1000.0)
    site.pipeline.tick(1e9)
    assert (site.is_banned(CLIENT), site.signs()) == (False, {})


def test_status_tells_what_is_recent() -> None:
    """For a quarter of an hour, in words; totals stay."""
    site = Site()
    site.flows(2000.0, completed=handshakes(9))
    site.pipeline.tick(3000.0)
    site.fail(CLIENT, 3000.0)
    assert site.watch.describe()["text"] == "1 bans of clients"
    site.pipeline.tick(3010.0 + RECENT_S + 61)
    assert site.watch.describe()["text"] == ""
    assert site.signs() == {"client_banned": 1}


def test_bans_of_internal_sources_are_watched() -> None:
    """What they drop is summed up while they last, also of an earlier run, and over elements that were set anew."""
    site = Site()
    site.fail(INSIDE, 1000.0)
    site.fail(CLIENT, 1000.0)
    dropped = {INSIDE: 7, CLIENT: 500}

    def stopped(ban: Ban) -> Stopped | None:
        packets = dropped.get(str(ban.network))
        return None if packets is None else Stopped(packets, 0)

    def told() -> tuple[float, ...]:
        site.watch.poll(stopped)
        return tuple(value for name, _, value in site.watch.samples() if name.startswith("nodewarden_internal"))

    assert told() == (1, 7)
    dropped[INSIDE] = 12
    assert told() == (1, 12)
    dropped[INSIDE] = 3
    assert told() == (1, 15)
    assert site.watch.describe()["text"] == "1 ban in force in internal networks"
    later = HarmWatch(lambda _: False, lambda address: address in site.pipeline.surrounding.internal)
    later.start(list(site.pipeline.ledger.bans()))
    later.poll(stopped)
    assert [value for name, _, value in later.samples() if name.startswith("nodewarden_internal")] == [1, 3]
    site.pipeline.unban([parse_network(INSIDE)], 1020.0)
    assert told() == (0, 15)


def test_thousands_of_internal_bans_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thousand are watched, sixteen are read for each second, and all have had their turn after a while."""
    watch = HarmWatch(lambda _: False, lambda _: True)
    bans = [
        Ban(parse_network(f"10.0.{number // 256}.{number % 256}"), Strength.PROVEN, 0.0, 9e9, "sshd", "")
        for number in range(3000)
    ]
    watch.start(bans)
    polled: list[Ban] = []
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    watch.poll(lambda _: None)

    def stopped(ban: Ban) -> Stopped:
        polled.append(ban)
        return Stopped(1, 60)

    for _ in range(8):  # a quiet daemon: nothing polls for eight seconds each
        now_s += 8.0
        watch.poll(stopped)
    assert (len(polled), len({ban.key for ban in polled})) == (1024, 1024)
    assert watch.internal_packets_total == 1024
    assert "1024 or more bans in force in internal networks" in str(watch.describe()["text"])
