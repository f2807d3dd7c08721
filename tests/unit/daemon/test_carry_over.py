"""A reload keeps what was counted where it means the same, says what it keeps, and never bans for it too early."""

import random
from typing import Any

import msgspec
import pytest

from monitor.daemon.pipeline.carry_over import CarryOver
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.detector import Detector
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.kept import Extent
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.registration import AnyRegistration
from monitor.detectors.registry import ALL
from monitor.filters.definition import FilterDefinition
from monitor.model.addresses import parse_address
from monitor.model.bans import Mode
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.events import failure, tcp
from tests.support.policy import small_table
from tests.unit.detectors.test_registry import CONTEXT, feed, made, samples_of

_NOW_S = 1010.0
_COUNTING = [one for one in ALL if one.name not in ("protected_port", "egress")]
every = pytest.mark.parametrize("registration", _COUNTING, ids=lambda one: str(one.name))


def _carried(old: Detector[Any], new: Detector[Any], now_s: float) -> Extent:
    carry = CarryOver(now_s)
    assert carry.follow(new, old) is (old if old.recipe == new.recipe else new)
    return carry.carried[0].extent


def _with_other(registration: AnyRegistration, **changes: Any) -> Detector[Any]:
    return made(registration, msgspec.structs.replace(samples_of(registration).section, **changes))


@every
def test_a_reload_in_the_middle_forgets_nobody(registration: AnyRegistration) -> None:
    """Of every detector: with other room, or a longer time, the last event still raises the alert."""
    samples = samples_of(registration)
    section: Any = samples.section
    entries = getattr(section, "max_entries", 0)
    for changes in ({"max_entries": entries * 2}, {"findtime_s": section.findtime_s * 1.5}):
        old, new = made(registration, section), _with_other(registration, **changes)
        assert feed(old, samples.fires[:-1]) == [[]] * (len(samples.fires) - 1)
        assert _carried(old, new, samples.fires[-1].time_s) is Extent.COUNTS
        assert len(feed(new, samples.fires[-1:])[0]) == 1, changes


@every
def test_a_lower_threshold_counts_what_was_seen(registration: AnyRegistration) -> None:
    """The reload itself raises nothing, and a threshold that is higher takes more than before."""
    samples = samples_of(registration)
    threshold = made(registration, samples.section).limits.maxretry
    name = "maxretry" if hasattr(samples.section, "maxretry") else "answered_bytes"
    old, new = made(registration, samples.section), _with_other(registration, **{name: threshold * 3})
    feed(old, samples.fires[:-1])
    assert _carried(old, new, samples.fires[-1].time_s) is Extent.COUNTS
    assert feed(new, samples.fires[-1:]) == [[]]


@every
def test_ipv6_prefixes_of_another_length_start_from_zero(registration: AnyRegistration) -> None:
    """Sources are other sources then."""
    section = samples_of(registration).section
    old = made(registration, section)
    new = made(registration, section, msgspec.structs.replace(CONTEXT, ipv6_prefix=56))
    assert _carried(old, new, 1000.0) is Extent.NOTHING


@pytest.mark.parametrize("seed", range(40))
def test_no_alert_without_the_evidence_for_it(seed: int) -> None:
    """Whatever thresholds follow each other: an alert has its distinct ports within the time that is in force."""
    chance = random.Random(seed)
    registration = ALL[0]
    assert registration.name == "port_scan"
    detector = _with_other(registration, maxretry=12, findtime_s=100.0)
    seen: dict[tuple[str, int], float] = {}
    alerts = 0
    for step in range(400):
        now_s = 1000.0 + step * 2.0
        if step % 20 == 0:
            changes = {"maxretry": chance.randrange(3, 20), "findtime_s": float(chance.randrange(10, 200))}
            changed = _with_other(registration, **changes)
            detector = CarryOver(now_s).follow(changed, detector)
        source, port = f"192.0.2.{chance.randrange(3)}", chance.randrange(40)
        seen[source, port] = now_s
        for alert in detector.feed([tcp(source, port, time_s=now_s)]):
            limits = detector.limits
            recent = [one for one, at_s in seen.items() if one[0] == source and at_s >= now_s - limits.findtime_s]
            assert limits.maxretry <= alert.evidence.count <= len(recent)
            alerts += 1
            seen = {one: at_s for one, at_s in seen.items() if one[0] != source}
    assert alerts


@pytest.mark.parametrize("seed", range(20))
def test_a_rate_is_never_counted_too_high(seed: int) -> None:
    """Packets have no times of their own: with a shorter time the count starts from zero, otherwise it stays lower."""
    chance = random.Random(seed)
    registration = next(one for one in ALL if one.name == "connection_rate")
    source = parse_address("192.0.2.1")
    old = _with_other(registration, maxretry=10_000, findtime_s=60.0)
    times_s = sorted(chance.uniform(0.0, 90.0) for _ in range(200))
    for time_s in times_s:
        list(old.rate.add([source], 1000.0 + time_s))  # type: ignore[attr-defined]
    findtime_s = float(chance.randrange(5, 300))
    new = _with_other(registration, maxretry=chance.randrange(50, 10_000), findtime_s=findtime_s)
    extent = _carried(old, new, 1090.0)
    assert (extent is Extent.NOTHING) is (findtime_s < 60.0)
    assert new.count(source) < new.limits.maxretry
    list(new.rate.add([parse_address("192.0.2.2")], 1090.0))  # type: ignore[attr-defined]
    within = sum(time_s > 90.0 - findtime_s for time_s in times_s)
    assert new.count(source) <= within * 1.1, "the parts of a window are taken for even"


def _stages(networks: dict[str, NetworkRuleSettings], **changes: Any) -> Settings:
    sshd = FailuresSettings(filter="sshd", mode=Mode.OBSERVE, networks=networks, **changes)
    return Settings(detectors=Detectors(failures={"sshd": sshd}))


def _sshd(pipeline: Pipeline, settings: Settings, filters: LogFilters | None = None) -> dict[str, tuple[Extent, str]]:
    carried = pipeline.reconfigure(settings, (), _NOW_S, filters)
    return {one.network: (one.extent, one.text) for one in carried if one.detector == "sshd"}


def test_a_network_keeps_its_own_counts() -> None:
    """Its threshold may change; one that is counted apart only from now on starts from zero, and that is said."""
    pipeline = Pipeline(_stages({"10.0.0.0/8": NetworkRuleSettings(maxretry=9)}, maxretry=5), (), small_table)
    assert pipeline.process([failure("10.1.1.1")] * 3 + [failure("192.0.2.7")] * 3, _NOW_S) == []
    rules = {"10.0.0.0/8": NetworkRuleSettings(maxretry=4), "192.0.2.0/24": NetworkRuleSettings(maxretry=2)}
    kept = _sshd(pipeline, _stages(rules, maxretry=5))
    assert kept[""] == (Extent.ALL, "unchanged, all counts kept")
    assert kept["10.0.0.0/8"] == (Extent.COUNTS, "maxretry 9 to 4; counts kept")
    assert kept["192.0.2.0/24"] == (Extent.NOTHING, "counted apart from now on, from zero")
    assert pipeline.process([failure("192.0.2.7")], _NOW_S) == []
    (decision,) = pipeline.process([failure("10.1.1.1")], _NOW_S)
    assert str(decision.network) == "10.1.1.1"


def test_what_changed_is_said() -> None:
    """Each threshold with its old and its new value, and of a longer time that the past is not known."""
    pipeline = Pipeline(_stages({}), (), small_table)
    longer = _sshd(pipeline, _stages({}, maxretry=3, findtime_s=1200.0))
    text = "maxretry 5 to 3, findtime 10m to 20m; counts kept of the last 10m: what was before is not known"
    assert longer == {"": (Extent.COUNTS, text)}
    assert _sshd(pipeline, _stages({}, maxretry=3, bantime_s=9.0)) == {
        "": (Extent.COUNTS, "findtime 20m to 10m; counts kept of the last 10m")
    }
    carried = pipeline.reconfigure(Settings(detectors=Detectors(failures={})), (), _NOW_S)
    gone = next(one for one in carried if one.detector == "sshd")
    assert str(gone) == "sshd: no longer there: its counts are gone, its bans stay until they end"
    assert _sshd(pipeline, _stages({})) == {"": (Extent.NOTHING, "new: counts start from zero")}


def test_another_filter_counts_anew() -> None:
    """What a filter found wrongly must not ban once it is corrected; the same expressions read again change nothing."""
    settings = _stages({}, maxretry=3)
    pipeline = Pipeline(settings, (), small_table)
    same, corrected = LogFilters(settings), LogFilters(settings)
    definition = same.definitions["sshd"]
    corrected.definitions["sshd"] = FilterDefinition(name="sshd", failregex=definition.failregex[:1])
    pipeline.process([failure("192.0.2.7")] * 2, _NOW_S)
    assert _sshd(pipeline, settings, same)[""][0] is Extent.ALL
    assert _sshd(pipeline, settings, corrected) == {"": (Extent.NOTHING, "its filter changed: counts start from zero")}
    assert pipeline.process([failure("192.0.2.7")] * 2, _NOW_S) == []
    assert len(pipeline.process([failure("192.0.2.7")], _NOW_S)) == 1
