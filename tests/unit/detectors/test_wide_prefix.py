"""An IPv6 /48 whose prefixes fail too seldom each: found as one source, on proven evidence only."""

from collections.abc import Iterator

import pytest

from monitor.detectors.failures import FailuresDetector
from monitor.detectors.limits import Limits
from monitor.model.alerts import Alert, Strength
from monitor.model.events import AuthFailure
from tests.support.events import failure

LIMITS = Limits(600.0, 5, 32_768)


def spread(prefixes: int, each: int = 4, *, first: int = 0, step: int = 256, **more: Strength) -> Iterator[AuthFailure]:
    """Yield failures of so many /64s of 2001:db8:7::/48, `each` of every one, one a second."""
    for number in range(prefixes * each):
        prefix = first + number // each * step
        yield failure(f"2001:db8:7:{prefix:x}::1", time_s=1000.0 + number / prefixes, **more)


def alerts_of(events: Iterator[AuthFailure], *, offenders: int = 16, limits: Limits = LIMITS) -> list[Alert]:
    """Return the alerts that these failures raise."""
    return FailuresDetector("sshd", limits, offenders).feed(list(events))


def test_four_tries_of_each_prefix_are_found() -> None:
    """After 80 failures, as 16 offenders have: the /48 is one source, and the evidence names its prefixes."""
    (alert,) = alerts_of(spread(20))
    assert str(alert.network) == "2001:db8:7::/48"
    assert (alert.strength, alert.is_alone) == (Strength.PROVEN, False)
    assert (alert.evidence.count, alert.evidence.maxretry) == (80, 80)
    assert alert.evidence.what == "failures in sshd (journal) of 20 prefixes of one /48"
    assert alert.evidence.sample[:2] == ("2001:db8:7::/64", "2001:db8:7:100::/64")


def test_one_try_of_each_prefix_is_found() -> None:
    """The fewer tries of each, the more prefixes: eighty of them."""
    assert [str(alert.network) for alert in alerts_of(spread(80, 1))] == ["2001:db8:7::/48"]


def test_an_attacker_with_a_56_does_not_have_its_neighbours_banned() -> None:
    """Where three quarters of the failures are of one /56, that is banned."""
    assert [str(alert.network) for alert in alerts_of(spread(20, step=1, first=0x300))] == ["2001:db8:7:300::/56"]


@pytest.mark.parametrize(
    ("events", "offenders"),
    [
        pytest.param(spread(19), 16, id="nineteen customers of a carrier who mistyped four times"),
        pytest.param(spread(79, 1), 16, id="79 customers who mistyped once"),
        pytest.param(spread(200, strength=Strength.SPOOFABLE), 16, id="lines that anyone can have written"),
        pytest.param(spread(200), 0, id="bans of a /48 are off"),
    ],
)
def test_what_is_no_attack_of_a_48(events: Iterator[AuthFailure], offenders: int) -> None:
    """Neither few customers, nor forged lines, nor where the operator bans no /48."""
    assert alerts_of(events, offenders=offenders) == []


def test_one_prefix_that_fails_again_and_again_does_not_have_its_48_banned() -> None:
    """In mode observe it goes on: each /64 adds four failures at most, however often it is alerted about."""
    detector = FailuresDetector("sshd", LIMITS, 16)
    alerts = detector.feed([failure("2001:db8:7:1::1", time_s=1000.0 + number) for number in range(500)])
    assert {str(alert.network) for alert in alerts} == {"2001:db8:7:1::/64"}


def test_failures_of_more_than_findtime_do_not_add_up() -> None:
    """A carrier whose customers mistype all day: 5 a minute are 50 within ten minutes."""
    day = (failure(f"2001:db8:7:{number:x}::1", time_s=1000.0 + 12.0 * number) for number in range(2000))
    assert alerts_of(day) == []


def test_the_48_that_fills_the_window_is_found_and_so_are_others() -> None:
    """34,000 failures, four by each /64, within ten minutes: the /48 is found, and 20 slow others in the meantime."""
    detector = FailuresDetector("sshd", LIMITS, 16)
    found: set[str] = set()
    for number in range(34_000):
        now_s = 1000.0 + number / 60
        events = [failure(f"2001:db8:7:{number // 4 * 257 & 0xFFFF:x}::1", time_s=now_s)]
        if number % 3000 == 0:  # twelve tries each, one in 50 seconds
            events += [failure(f"2001:db8:{other:x}::1", time_s=now_s) for other in range(0x100, 0x10A)]
            events += [failure(f"192.0.2.{other}", time_s=now_s) for other in range(10)]
        found.update(str(alert.network) for alert in detector.feed(events))
    others = {f"2001:db8:{other:x}::/64" for other in range(0x100, 0x10A)} | {f"192.0.2.{n}" for n in range(10)}
    assert found == {"2001:db8:7::/48", *others}
    assert detector.stats.entries <= LIMITS.max_entries
