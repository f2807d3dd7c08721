"""What the history takes in: everything is counted, floods get no row for each alert, the spared do not repeat."""

import time

import msgspec

from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.daemon.pipeline.history_intake import HistoryIntake
from monitor.daemon.pipeline.standing import standing
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Mode, Spared, Standing
from monitor.model.networks import Networks, Surrounding
from tests.support.ban_core import alert_on
from tests.unit.history.test_reading import offence

NOW_S = 1_700_000_000.0
NETWORK = parse_network("198.51.0.1")
OBSERVED = Decision(Verdict.OBSERVE, NETWORK, "sshd")


def test_a_flood_is_counted() -> None:
    """A detector adds a fiftieth of all rows in an hour, then only counts; other detectors and hours are as before."""
    intake = HistoryIntake(max_rows=10_000)
    taken = [intake.take(OBSERVED, offence(number, NOW_S), NOW_S) for number in range(5000)]
    assert all(taken)
    assert sum(one is not None and one.offence is not None for one in taken) == 200
    assert intake.only_counted_total == 4800
    for detector, now_s in (("port_scan", NOW_S), ("sshd", NOW_S + 3600)):
        other = intake.take(OBSERVED, offence(1, now_s, detector), now_s)
        assert other is not None
        assert other.offence is not None


def test_status_says_so() -> None:
    """Within the hour."""
    intake = HistoryIntake(max_rows=1000)
    assert intake.notices() == []
    now_s = time.time()
    for number in range(101):
        intake.take(OBSERVED, offence(number, now_s), now_s)
    (notice,) = intake.notices()
    assert "1 alerts" in notice
    assert "state.history_rows" in notice


def test_bans_always_get_an_entry() -> None:
    """Those of detectors, which the budget bounds, and of people; an import is a flood like any other."""
    intake = HistoryIntake(max_rows=1000)
    ban = Ban(NETWORK, Strength.PROVEN, NOW_S, NOW_S + 600, "sshd", "why")
    banned = msgspec.structs.replace(OBSERVED, verdict=Verdict.BAN, claim=ban)
    one = offence(1, NOW_S, mode=Mode.ENFORCE)
    for origin, count in ((ClaimOrigin.DETECTOR, 500), (ClaimOrigin.OPERATOR, 500), (ClaimOrigin.IMPORT, 100)):
        decision = msgspec.structs.replace(banned, claim=msgspec.structs.replace(ban, origin=origin))
        taken = [intake.take(decision, one, NOW_S) for _ in range(500)]
        assert sum(each is not None and each.offence is not None for each in taken) == count


def test_a_spared_source_counts_once_a_ban_time() -> None:
    """An allowlisted scanner raises alerts all day; each stands for a ban that it would have had."""
    intake = HistoryIntake()
    spared = msgspec.structs.replace(OBSERVED, verdict=Verdict.ALLOWLISTED)
    times = [NOW_S + 60 * minute for minute in range(60)]
    taken = [intake.take(spared, offence(1, when_s, spared=Spared.ALLOWLISTED), when_s) for when_s in times]
    assert sum(one is not None for one in taken) == 6
    assert intake.take(spared, offence(2, NOW_S, spared=Spared.ALLOWLISTED), NOW_S) is not None


def test_dates_in_a_log_make_no_hours_without_end() -> None:
    """Who writes dates into a log could else have as many tallies as there are hours in time."""
    intake = HistoryIntake()
    dates = [0.0, -1e9, 1e11, NOW_S - 7 * 86400]
    hours = {taken.key.hour for date in dates if (taken := intake.take(OBSERVED, offence(1, date), NOW_S))}
    assert hours == {int(NOW_S // 3600)}


def test_who_is_no_stranger() -> None:
    """The allowlist, internal networks, and clients whose name anyone can have used; not who guesses passwords."""
    around = Surrounding(internal=Networks([parse_network("10.0.0.0/8")]))
    guard = Guard([AllowEntry(parse_network("192.0.2.0/24"), "office")])
    assert standing(parse_network("192.0.2.7"), guard, around) is Standing.ALLOWLISTED
    assert standing(parse_network("10.1.2.3"), guard, around) is Standing.INTERNAL
    assert standing(NETWORK, guard, around) is None
    alert = alert_on(NETWORK, NOW_S)
    assert standing(NETWORK, guard, around, alert) is None
    doubtful = msgspec.structs.replace(alert, doubt="anyone can have sent this in the name of a client")
    assert standing(NETWORK, guard, around, doubtful) is Standing.CLIENT
    assert standing(NETWORK, guard, around, msgspec.structs.replace(alert, longest_s=600.0)) is Standing.CLIENT
