"""What the pipeline knows as samples of the catalogue's metrics."""

from collections.abc import Callable

import pytest

from monitor import native
from monitor.bans.decision import Ending
from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.life.capacity import RoomProblems
from monitor.daemon.life.samples import PipelineSamples
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.detectors.egress import EgressSettings
from monitor.detectors.port_scan import PortScanSettings
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, AllowEntry, Ban, Mode
from monitor.settings.bans import Bans
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.support.events import tcp
from tests.support.policy import small_table

NOW_S = 1000.0


def pipeline() -> Pipeline:
    """Return one with every detector that needs no program; scans are only observed."""
    detectors = Detectors(
        port_scan=PortScanSettings(mode=Mode.OBSERVE, maxretry=10, findtime_s=300.0, bantime_s=900.0),
        egress=EgressSettings(approved=(parse_network("198.18.0.0/15"),)),
    )
    return Pipeline(Settings(detectors=detectors), (), small_table)


def read(stages: Pipeline) -> dict[tuple[str, ...], float]:
    """Return the samples by name and labels; each is in the catalogue, none is told twice."""
    samples = PipelineSamples(stages).samples()
    assert all(len(labels) == len(BY_NAME[name].labels) for name, labels, _ in samples)
    found = {(name, *labels): value for name, labels, value in samples}
    assert len(found) == len(samples)
    return found


def ban(
    network: str, strength: Strength = Strength.PROVEN, *, until_s: float = 2000.0, mode: Mode = Mode.ENFORCE
) -> Ban:
    """Return a ban that began at 900 s."""
    return Ban(parse_network(network), strength, 900.0, until_s, "manual", "by hand", mode)


def test_whether_native_code_is_in_use_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 with the extension, 0 where it is turned off or was not built."""
    for extension, value in ((object(), 1.0), (None, 0.0)):
        monkeypatch.setattr(native, "extension", extension)
        found = next(
            sample for sample in PipelineSamples(pipeline()).samples() if sample[0] == "nodewarden_native_enabled"
        )
        assert found == ("nodewarden_native_enabled", (), value)


def test_each_detector_tells_its_threshold_and_mode() -> None:
    """As configured: count, time, ban time, the mode in force; alerts begin at 0 by mode and strength."""
    stages = pipeline()
    found = read(stages)
    name = "port_scan"
    assert found["nodewarden_detector_maxretry", name] == 10
    assert found["nodewarden_detector_findtime_seconds", name] == 300.0
    assert found["nodewarden_detector_bantime_seconds", name] == 900.0
    assert [found["nodewarden_detector_mode", name, mode] for mode in ("enforce", "observe")] == [0.0, 1.0]
    for detector in stages.detectors:
        assert found["nodewarden_detector_busiest_ratio", detector.name] == 0.0
    alerts = {key[1:] for key in found if key[0] == "nodewarden_detector_alerts_total"}
    assert {key[2] for key in alerts if key[0] == "egress"} == {"destination"}
    assert {key[1:] for key in alerts if key[0] == name} == {
        (mode, strength) for mode in ("enforce", "observe") for strength in ("proven", "spoofable")
    }


def test_headroom_is_told_and_passes() -> None:
    """Seven ports of ten are 0.7, ten are 1; two minutes later nobody is close."""
    stages = pipeline()
    key = "nodewarden_detector_busiest_ratio", "port_scan"
    stages.tick(NOW_S)
    stages.process([tcp("198.51.100.7", port) for port in range(1, 8)], NOW_S)
    assert read(stages)[key] == 0.7
    stages.process([tcp("198.51.100.7", port) for port in range(8, 30)], NOW_S)
    told = []
    for second in range(180):
        stages.tick(NOW_S + second)
        told.append(read(stages)[key])
    assert 60 <= told.count(1.0) <= 120
    assert told == sorted(told, reverse=True)
    assert told[-1] == 0.0
    assert read(stages)["nodewarden_detector_alerts_total", "port_scan", "observe", "spoofable"] == 2


def test_sets_are_counted_by_the_ledger() -> None:
    """Bans in force by set, prefixes apart, observed ones nowhere; each set's limit beside it."""
    stages = pipeline()
    put = (
        ban("192.0.2.1"), ban("192.0.2.2"), ban("2001:db8::1"), ban("192.0.2.0/24"),
        ban("2001:db8::/64", Strength.SPOOFABLE), ban("192.0.2.3", Strength.DESTINATION),
        ban("192.0.2.9", mode=Mode.OBSERVE),
    )  # fmt: skip
    for one in put:
        stages.ledger.put(one)
    stages.ledger.put(ban("192.0.2.1", until_s=3000.0))
    found = read(stages)
    counted = {key[1]: value for key, value in found.items() if key[0] == "nodewarden_set_elements" and value}
    assert counted == {"ban4": 2, "ban6": 1, "ban4_nets": 1, "shun6_nets": 1, "egress4": 1}
    assert found["nodewarden_set_elements_limit", "ban4"] == stages.ledger.max_bans
    assert found["nodewarden_set_elements_limit", "shun6_nets"] == MAX_PREFIXES
    assert found["nodewarden_bans", "manual", "enforce", "proven"] == 4
    stages.ledger.remove(parse_network("192.0.2.0/24"), Strength.PROVEN)
    assert read(stages)["nodewarden_set_elements", "ban4_nets"] == 0


def test_bans_that_end_are_counted_by_cause() -> None:
    """Two that end by themselves, one of them only observed, which was none; causes that never were are 0."""
    stages = pipeline()
    for one in (ban("192.0.2.1"), ban("192.0.2.2", mode=Mode.OBSERVE), ban("192.0.2.3", until_s=9000.0)):
        stages.ledger.put(one)
    stages.tick(3000.0)
    assert stages.ledger.covering(parse_network("192.0.2.1")) == []
    found = read(stages)
    assert {cause: found["nodewarden_bans_ended_total", cause] for cause in Ending} == {
        "expired": 1, "lifted": 0, "allowlisted": 0, "yielded": 0, "withdrawn": 0, "refused": 0
    }  # fmt: skip


def test_what_is_kept_is_what_would_be_made_anew() -> None:
    """After bans, alerts, decisions, another allowlist and another configuration, kept samples are those of now."""
    few = Bans(max_bans=100)
    stages = Pipeline(Settings(bans=few), (), lambda *_: Enforcement(MemoryLeader()))
    kept, room = PipelineSamples(stages), RoomProblems(stages.policy)

    def fill() -> None:
        for number in range(stages.ledger.max_bans):
            stages.ledger.put(ban(f"198.51.100.{number}"))

    def lift() -> None:
        for number in range(10):
            stages.ledger.remove(parse_network(f"198.51.100.{number}"), Strength.PROVEN)

    detectors = Detectors(port_scan=PortScanSettings(maxretry=3, findtime_s=60.0))
    steps: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: stages.process([tcp("198.51.100.7", port) for port in range(1, 30)], NOW_S),
        fill,
        lift,
        lambda: stages.tick(3000.0),
        lambda: stages.reconfigure(Settings(bans=few, detectors=detectors), (), NOW_S),
        lambda: stages.process([tcp("198.51.100.8", port) for port in range(1, 30)], NOW_S),
        lambda: stages.follow_node([AllowEntry(parse_network("203.0.113.0/24"), "office")], NOW_S),
    )
    texts = []
    for step in steps:
        step()
        assert kept.samples() == PipelineSamples(stages).samples()
        texts.append([one.text for one in room.found(NOW_S)])
        assert texts[-1] == [one.text for one in RoomProblems(stages.policy).found(NOW_S)]
    assert [bool(text) for text in texts] == [False, False, True, False, False, False, False, False]
