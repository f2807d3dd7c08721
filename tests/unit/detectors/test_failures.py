"""Failures in logs: who fails too often, and what must not add up."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors.failures import FailuresDetector, FailuresSettings
from monitor.detectors.limits import Limits
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.events import AuthFailure
from tests.support.detectors import Samples
from tests.support.events import failure

KINDS = (Strength.PROVEN, Strength.SPOOFABLE)
"""What a log can prove."""
THRESHOLDS = Limits(600.0, 5, 1000)
SAMPLES = Samples(
    FailuresSettings(filter="sshd", maxretry=3),
    fires=[failure("192.0.2.7", user=user) for user in ("root", "", "root")],
    quiet={
        "sources do not add up": [failure(f"192.0.2.{number}") for number in range(1, 9)],
        "forgeable lines never add to proven ones": [
            failure("192.0.2.7", strength=strength) for strength in (Strength.PROVEN, Strength.SPOOFABLE) * 2
        ],
        "failures of more than findtime": [failure("192.0.2.7", time_s=1000.0 + 400.0 * step) for step in range(9)],
    },
)


def sshd(**changes: object) -> FailuresDetector:
    """Return the detector sshd, with five failures as its threshold unless changed."""
    return FailuresDetector("sshd", msgspec.structs.replace(THRESHOLDS, **changes))


def banned(alerts: list[Alert]) -> list[str]:
    """Name what is to be banned."""
    return [str(alert.network) for alert in alerts]


def test_the_fifth_failure_fires_and_says_what_was_seen() -> None:
    """Evidence counts the failures, names log and users, and is as strong as the events were."""
    users = ["root", "admin", "", "root", "bob"]
    detector = sshd()
    alerts = detector.feed([failure("192.0.2.7", user=user, time_s=1000.0 + at) for at, user in enumerate(users)])
    (alert,) = alerts
    assert (alert.detector, alert.source, str(alert.network)) == ("sshd", parse_address("192.0.2.7"), "192.0.2.7")
    assert (alert.strength, alert.is_alone, alert.time_s) == (Strength.PROVEN, True, 1004.0)
    evidence = alert.evidence
    assert (evidence.count, evidence.maxretry, evidence.findtime_s) == (5, 5, 600.0)
    assert (evidence.first_s, evidence.last_s) == (1000.0, 1004.0)
    assert evidence.what == "failures in sshd (journal)"
    assert evidence.sample == ("root", "admin", "bob")
    assert detector.count(parse_address("192.0.2.7")) == 0


def test_equal_failures_all_count() -> None:
    """The same user at the same time is another attempt each time."""
    assert banned(sshd().feed([failure("192.0.2.7", user="root")] * 10)) == ["192.0.2.7"] * 2


def test_one_failure_can_be_enough() -> None:
    """With maxretry 1 each failure fires, of IPv4, of IPv6 and of networks."""
    detector = sshd(maxretry=1)
    alerts = detector.feed([failure("192.0.2.7", user="x"), failure("2001:db8::7")])
    alerts += detector.feed([failure("198.51.100.0", prefix_length=24)])
    assert banned(alerts) == ["192.0.2.7", "2001:db8::/64", "198.51.100.0/24"]
    assert alerts[0].evidence.sample == ("x",)
    assert detector.stats.entries == 0


def test_failures_of_others_do_not_add_up() -> None:
    """Other sources and other detectors' events are not counted."""
    detector = sshd()
    events = [failure(f"192.0.2.{number}") for number in range(20)]
    events += [failure("192.0.2.1", detector="nginx") for _ in range(20)]
    assert detector.feed(events) == []
    assert detector.count(parse_address("192.0.2.1")) == 1


def test_failures_older_than_findtime_do_not_count() -> None:
    """Four failures, a pause, four more: somebody who forgets a password now and then."""
    times = [1000.0, 1001.0, 1002.0, 1003.0, 1700.0, 1701.0, 1702.0, 1703.0]
    assert sshd().feed([failure("192.0.2.7", time_s=time_s) for time_s in times]) == []


def test_a_little_disorder_loses_nothing() -> None:
    """Lines of several logs come in no exact order, and all count."""
    times = [1005.0, 1003.0, 1004.0, 1001.0, 1002.0]
    (alert,) = sshd().feed([failure("192.0.2.7", time_s=time_s) for time_s in times])
    assert (alert.evidence.count, alert.evidence.first_s) == (5, 1001.0)


@pytest.mark.parametrize(
    ("source", "length"), [("192.0.2.7", None), ("2001:db8::7", None), ("192.0.2.0", 24), ("2001:db8::", 48)]
)
def test_forgeable_lines_never_add_to_proven_ones(source: str, length: int | None) -> None:
    """Four proven and four forgeable failures are neither; a fifth of a kind raises an alert of that kind."""
    proven = failure(source, prefix_length=length)
    forged = failure(source, prefix_length=length, strength=Strength.SPOOFABLE)
    detector = sshd()
    assert detector.feed([proven, forged] * 4) == []
    assert detector.count(parse_address(source)) == (0 if length else 4)
    alerts = detector.feed([forged])
    assert [(alert.strength, alert.evidence.count) for alert in alerts] == [(Strength.SPOOFABLE, 5)]
    alerts = detector.feed([proven])
    assert [(alert.strength, alert.evidence.count) for alert in alerts] == [(Strength.PROVEN, 5)]


def test_forgeable_crowds_never_add_to_proven_ones() -> None:
    """Neighbours in a /64 are summed up by strength too."""
    detector = sshd()
    forged = [failure(f"2001:db8::{number}", strength=Strength.SPOOFABLE) for number in range(1, 5)]
    proven = [failure(f"2001:db8::{number}") for number in range(1, 5)]
    assert detector.feed(forged + proven) == []
    (alert,) = detector.feed([failure("2001:db8::99")])
    assert (alert.strength, alert.evidence.count, alert.is_alone) == (Strength.PROVEN, 5, False)


def test_one_host_with_many_addresses_is_one_offender() -> None:
    """Five addresses of one /64 with a failure each cross together; the alert names the /64."""
    alerts = sshd().feed([failure(f"2001:db8::{number}") for number in range(1, 6)])
    assert [(str(alert.network), alert.is_alone) for alert in alerts] == [("2001:db8::/64", False)]
    assert sshd(ipv6_prefix=128).feed([failure(f"2001:db8::{number}") for number in range(1, 6)]) == []


def test_an_offender_does_not_accuse_its_neighbours() -> None:
    """After one address crossed by itself, a neighbour's first failures in the same /64 raise nothing."""
    detector = sshd()
    alone = detector.feed([failure("2001:db8::7") for _ in range(5)])
    assert [(str(alert.network), alert.is_alone) for alert in alone] == [("2001:db8::/64", True)]
    assert detector.feed([failure("2001:db8::8") for _ in range(3)]) == []


def test_mapped_addresses_are_ipv4() -> None:
    """However an application writes an IPv4 client, it is one source."""
    mapped = bytes(10) + b"\xff\xff" + parse_address("192.0.2.7")
    events = [failure("192.0.2.7"), msgspec.structs.replace(failure("192.0.2.7"), source=mapped)] * 3
    assert banned(sshd().feed(events)) == ["192.0.2.7"]


def test_networks_count_as_such() -> None:
    """A line that names a network counts for it, not for an address in it; a full length is an address."""
    detector = sshd()
    events = [failure("192.0.2.7", prefix_length=24), failure("192.0.2.0", prefix_length=24)] * 2
    assert detector.feed([*events, failure("192.0.2.7"), failure("192.0.2.0")]) == []
    assert detector.count(parse_address("192.0.2.0")) == 1
    (alert,) = detector.feed([failure("192.0.2.9", prefix_length=24)])
    assert (str(alert.network), alert.source, alert.is_alone) == ("192.0.2.0/24", parse_address("192.0.2.0"), False)
    assert banned(detector.feed([failure("192.0.2.7", prefix_length=32)] * 4)) == ["192.0.2.7"]
    assert banned(sshd().feed([failure("::ffff:192.0.2.7", prefix_length=120)] * 5)) == ["192.0.2.0/24"]


@pytest.mark.parametrize(
    ("source", "length"),
    [("192.0.2.7", 15), ("192.0.2.7", 0), ("192.0.2.7", 40), ("192.0.2.7", -1), ("::1", 31), ("::1", 129)],
)
def test_absurd_networks_are_ignored_and_counted(source: str, length: int) -> None:
    """No line of a log bans a sixteenth of a continent."""
    detector = sshd(maxretry=1)
    assert detector.feed([failure(source, prefix_length=length)]) == []
    assert list(detector.samples()) == [("nodewarden_detector_ignored_networks_total", ("sshd",), 1)]


def test_what_attackers_send_is_harmless_to_read() -> None:
    """Names are cut, and cannot move a terminal's cursor."""
    users = ["\x1b[2J", "ä" * 64, "a" * 64, "\ud800", "x, y"]
    (alert,) = sshd().feed([failure("192.0.2.7", user=user, log="/var/log/\n.log") for user in users])
    assert alert.evidence.sample == ("\\x1b[2J", "ä" * 24, "a" * 48, "?", "x, y")
    assert alert.evidence.what == "failures in sshd (/var/log/\\n.log)"
    assert msgspec.json.encode(alert)


def test_a_sample_names_twenty_at_most() -> None:
    """However many names were tried."""
    (alert,) = sshd(maxretry=30).feed([failure("192.0.2.7", user=f"user{number}") for number in range(30)])
    assert alert.evidence.sample == tuple(f"user{number}" for number in range(20))


def test_a_flood_of_sources_does_not_wash_out_an_offender() -> None:
    """Memory is bounded and says so, and somebody with four of five failures is still known afterwards."""
    detector = sshd()
    detector.feed([failure("192.0.2.7")] * 4)
    flood = [failure(f"10.{number >> 8}.{number & 255}.1", time_s=1001.0) for number in range(10_000)]
    assert detector.feed(flood) == []
    assert detector.stats.entries <= 1000
    assert detector.stats.evicted_keys + detector.stats.entries == 10_004
    assert banned(detector.feed([failure("192.0.2.7", time_s=1002.0)])) == ["192.0.2.7"]


EVENTS = st.builds(
    AuthFailure,
    time_s=st.floats(allow_nan=False, min_value=-1e12, max_value=1e12),
    detector=st.sampled_from(["sshd", "nginx"]),
    source=st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    strength=st.sampled_from(KINDS),
    log=st.text(max_size=9),
    user=st.text(max_size=64),
    prefix_length=st.one_of(st.none(), st.integers(-1, 200)),
)


@given(st.lists(EVENTS, max_size=60), st.integers(1, 4))
def test_no_event_is_too_much(events: list[AuthFailure], maxretry: int) -> None:
    """Whatever filters hand on, alerts are of this detector, hold their source, and are never absurdly wide."""
    detector = sshd(maxretry=maxretry)
    for alert in detector.feed(events):
        assert alert.detector == "sshd"
        assert alert.network.contains(alert.source)
        assert alert.network.prefix_length >= (16 if len(alert.source) == 4 else 32)
        assert alert.evidence.count == maxretry
        assert msgspec.json.encode(alert)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(KINDS), st.integers(0, 200)), max_size=100))
def test_agrees_with_counting_by_hand(steps: list[tuple[int, Strength, int]]) -> None:
    """A source fires exactly when its failures of one strength within findtime are five."""
    detector = sshd()
    seen: dict[tuple[int, Strength], list[float]] = {}
    time_s = 0.0
    for number, strength, pause in steps:
        time_s += pause
        mine = seen.setdefault((number, strength), [])
        mine.append(time_s)
        recent = [one for one in mine if one >= time_s - 600.0]
        alerts = detector.feed([failure(f"192.0.2.{number}", strength=strength, time_s=time_s)])
        assert bool(alerts) == (len(recent) == 5)
        seen[number, strength] = [] if alerts else recent
