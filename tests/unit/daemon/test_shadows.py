"""Shadow thresholds: they find what the same thresholds would find, ban nobody, and are compared source by source."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.control.protocol import Status, Why
from monitor.daemon.life.samples import PipelineSamples
from monitor.daemon.life.saved_windows import SavedWindows
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.shadows import _MOST_FOLLOWED, Shadow
from monitor.detectors.connection_rate import ConnectionRateSettings
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.port_scan import PortScanSettings
from monitor.detectors.shadow_settings import ShadowSettings
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Alert
from monitor.model.bans import Mode
from monitor.model.events import Event
from monitor.model.flows import FlowBatch
from monitor.settings.detectors import Detectors
from monitor.settings.load import load
from monitor.settings.schema import Settings
from monitor.state.saver import Saver
from tests.support.answers import answers_of
from tests.support.events import failure, tcp
from tests.support.flows import handshakes
from tests.support.policy import small_table
from tests.unit.config.support import faults_of, write

_NOW_S = 1000.0
_OBSERVE = Mode.OBSERVE
_RULES = {
    "10.0.0.0/8": NetworkRuleSettings(findtime_s=100.0, maxretry=9),
    "10.9.0.0/16": NetworkRuleSettings(maxretry=4),
}
_ALLOWED = (parse_network("192.0.2.77"),)
_SECTIONS: dict[str, Any] = {
    "port_scan": PortScanSettings(
        mode=_OBSERVE, maxretry=8, findtime_s=200.0, networks=_RULES, allowlist=_ALLOWED, max_entries=4096
    ),
    "connection_rate": ConnectionRateSettings(maxretry=30, findtime_s=60.0),
    "sshd": FailuresSettings(filter="sshd", mode=_OBSERVE, networks=_RULES, allowlist=_ALLOWED),
}


class Found(Listener):
    """Notes the alerts of the real detectors."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, bytes, float]] = []

    def alerted(self, alert: Alert, mode: Mode) -> None:
        """Note an alert."""
        del mode
        self.alerts.append((alert.detector, alert.source, alert.time_s))


def _pipeline(found: Found, **sections: Any) -> Pipeline:
    failures = {name: one for name, one in sections.items() if isinstance(one, FailuresSettings)}
    others = {name: one for name, one in sections.items() if name not in failures}
    return Pipeline(Settings(detectors=Detectors(failures=failures, **others)), (), small_table, (found,))


def _sources(chance: random.Random) -> str:
    return chance.choice(["192.0.2.7", "192.0.2.77", "10.1.1.1", "10.9.1.1", "2001:db8::7", "198.51.100.3"])


def _batches(seed: int) -> list[Sequence[Event]]:
    chance = random.Random(seed)
    batches: list[Sequence[Event]] = []
    for step in range(150):
        time_s = _NOW_S + 3.0 * step
        count = chance.randrange(1, 5)
        packets = [tcp(_sources(chance), chance.randrange(40), to="10.0.0.1", time_s=time_s) for _ in range(count)]
        batches.append([one for one in packets if len(one.source) == 4])
        batches.append([failure(_sources(chance), time_s=time_s) for _ in range(count)])
        flows = handshakes(chance.randrange(9), _sources(chance), id=step * 10)
        batches.append([FlowBatch(time_s, completed=flows)])
    return [batch for batch in batches if batch]


@pytest.fixture
def shadowed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes, float]]:
    """Collect what shadows find."""
    found: list[tuple[str, bytes, float]] = []
    note = Shadow.note

    def noted(self: Shadow, alert: Any, *, is_real: bool) -> None:
        if not is_real:
            found.append((alert.detector, alert.source, alert.time_s))
        note(self, alert, is_real=is_real)

    monkeypatch.setattr(Shadow, "note", noted)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("thresholds", [{"maxretry": 12}, {"maxretry": 3}, {"findtime_s": 30.0, "maxretry": 5}])
def test_a_shadow_finds_what_its_thresholds_would_find(
    thresholds: dict[str, Any], seed: int, shadowed: list[tuple[str, bytes, float]]
) -> None:
    """Of logs, packets and flows; networks with thresholds of their own are not counted twice."""
    found, expected = Found(), Found()
    of_rates = {name: 2 * value for name, value in thresholds.items()}
    changes = {name: of_rates if name == "connection_rate" else thresholds for name in _SECTIONS}
    trying, changed = (
        {name: msgspec.structs.replace(one, **given(changes[name])) for name, one in _SECTIONS.items()}
        for given in (lambda values: {"shadow": ShadowSettings(**values)}, dict)
    )
    real, other, plain = _pipeline(found, **trying), _pipeline(expected, **changed), _pipeline(Found(), **_SECTIONS)
    decided: list[list[Any]] = [[], []]
    for batch in _batches(seed):
        decided[0] += real.process(batch, batch[0].time_s)
        decided[1] += plain.process(batch, batch[0].time_s)
        other.process(batch, batch[0].time_s)
    apart = [parse_address("10.1.1.1"), *([] if "findtime_s" in thresholds else [parse_address("10.9.1.1")])]
    assert sorted(shadowed) == sorted(
        one for one in expected.alerts if one[0] == "connection_rate" or one[1] not in apart
    )
    assert {name for name, _, _ in expected.alerts} == set(_SECTIONS)
    assert [(one.network, one.verdict) for one in decided[0]] == [(one.network, one.verdict) for one in decided[1]]
    assert not real.shadows.problems()


def _fail(pipeline: Pipeline, source: str, times: int, time_s: float = _NOW_S) -> None:
    pipeline.process([failure(source, time_s=time_s)] * times, time_s)


def _trying(maxretry: int = 3, **changes: Any) -> FailuresSettings:
    return FailuresSettings(filter="sshd", mode=_OBSERVE, shadow=ShadowSettings(maxretry=maxretry), **changes)


def test_sources_are_compared_once_both_had_the_time(tmp_path: Path) -> None:
    """Until then `status` shows them as they are so far; the metrics, which only rise, wait."""
    pipeline = _pipeline(Found(), sshd=_trying())
    _fail(pipeline, "192.0.2.1", 3)
    _fail(pipeline, "192.0.2.2", 6)
    _fail(pipeline, "192.0.2.3", 2)
    answers = answers_of(pipeline, tmp_path)

    def shown() -> dict[str, Any]:
        detectors = answers.look_up(Status()).result["detectors"]
        return next(one["shadow"] for one in detectors if one["name"] == "sshd")

    def counted() -> dict[str, float]:
        samples = PipelineSamples(pipeline).samples()
        return {labels[1]: value for name, labels, value in samples if name == "nodewarden_shadow_sources_total"}

    assert shown()["sources"] == {"both": 1, "shadow": 1, "real": 0}
    assert shown()["only"] == {"shadow": ["192.0.2.1"], "real": []}
    assert shown()["alerts"] == 3
    assert counted() == {"both": 0, "shadow": 0, "real": 0}
    pipeline.shadows.turn(_NOW_S + 600.0)
    assert counted() == {"both": 0, "shadow": 0, "real": 0}
    pipeline.shadows.turn(_NOW_S + 601.0)
    assert counted() == shown()["sources"] == {"both": 1, "shadow": 1, "real": 0}
    counting = answers.look_up(Why("192.0.2.3")).result["counting"]
    assert counting == [
        {"detector": "sshd", "count": 2, "maxretry": 5},
        {"detector": "sshd", "count": 2, "maxretry": 3, "is_shadow": True},
    ]
    assert (
        next(one for one in answers.look_up(Status()).result["detectors"] if one["name"] == "port_scan")["shadow"]
        is None
    )


def test_a_higher_threshold_misses_sources() -> None:
    """Those that only the real detector found are counted as well."""
    pipeline = _pipeline(Found(), sshd=_trying(9))
    _fail(pipeline, "192.0.2.1", 5)
    pipeline.shadows.turn(_NOW_S + 1e4)
    assert pipeline.shadows.by_name["sshd"].sources == {"both": 0, "shadow": 0, "real": 1}


def test_what_is_followed_is_bounded() -> None:
    """A flood of sources is counted early, and each exactly once; a clock that was set back settles all."""
    pipeline = _pipeline(Found(), sshd=_trying(1, max_entries=65_536))
    for number in range(_MOST_FOLLOWED + 100):
        _fail(pipeline, f"10.0.{number >> 8}.{number & 255}", 1)
    shadow = pipeline.shadows.by_name["sshd"]
    assert shadow.settled_early == shadow.sources["shadow"] == 100
    assert shadow.so_far()["shadow"] == _MOST_FOLLOWED + 100
    assert len(shadow.named()["shadow"]) == 8
    pipeline.shadows.turn(_NOW_S - 1.0)
    assert shadow.sources["shadow"] == _MOST_FOLLOWED + 100


def test_a_reload_keeps_what_a_shadow_counted() -> None:
    """Its window follows as that of a detector; the comparison starts anew where either has other thresholds."""
    pipeline = _pipeline(Found(), sshd=_trying())

    def reload(section: FailuresSettings) -> None:
        pipeline.reconfigure(Settings(detectors=Detectors(failures={"sshd": section})), (), _NOW_S)

    _fail(pipeline, "192.0.2.1", 2)
    _fail(pipeline, "192.0.2.2", 3)
    reload(_trying(bantime_s=60.0))
    assert pipeline.shadows.by_name["sshd"].alerts == 1
    reload(_trying(4))
    assert pipeline.shadows.by_name["sshd"].alerts == 0
    _fail(pipeline, "192.0.2.1", 2)
    assert pipeline.shadows.by_name["sshd"].alerts == 1
    reload(FailuresSettings(filter="sshd", mode=_OBSERVE))
    assert not pipeline.shadows
    assert pipeline.shadows.counting == []


def test_a_restart_keeps_what_a_shadow_counted(tmp_path: Path) -> None:
    """It is saved under a name of its own."""
    names = []
    pipeline = _pipeline(Found(), sshd=_trying(), port_scan=PortScanSettings(shadow=ShadowSettings(maxretry=4)))
    for name, kind, windows, _ in SavedWindows(Saver(tmp_path / "x"), pipeline, lambda: True)._parts():
        if "~" in name:
            names.append((name, kind, len(windows)))
    assert names == [("port_scan~4/600", "port_scan", 1), ("sshd~3/600", "failures", 1)]


def test_a_fault_of_a_shadow_costs_no_ban(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is a problem of `status`, logged once."""
    pipeline = _pipeline(Found(), sshd=_trying())
    monkeypatch.setattr(pipeline.shadows.by_name["sshd"].detector, "feed", lambda _: 1 / 0)
    decisions = pipeline.process([failure("192.0.2.1")] * 5, _NOW_S)
    assert [str(one.network) for one in decisions] == ["192.0.2.1"]
    _fail(pipeline, "192.0.2.2", 1)
    assert pipeline.shadows.problems() == [
        "the shadow of sshd failed on 2 batches of events: its counts are too low; see the log"
    ]
    assert len([one for one in caplog.records if "the shadow of sshd failed" in one.getMessage()]) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "port_scan: {shadow: {maxretry: 1}}",
            "detectors.port_scan.shadow.maxretry: 1 is out of range: expected 2 to 10000",
        ),
        ("port_scan: {shadow: {maxretry: 9000}, max_entries: 2000}", "9000 can never be reached"),
        ("protected_port: {shadow: {maxretry: 2}}", "this detector has no such key"),
        ("half_open: {shadow: {findtime: 2h}}", "detectors.half_open.shadow.findtime"),
        ("failures: {sshd: {shadow: {bantime: 1h}}}", "bantime"),
    ],
)
def test_thresholds_are_checked_as_those_of_the_detector(tmp_path: Path, text: str, fault: str) -> None:
    """Its ranges, and what goes together; a ban time has no meaning."""
    (line,) = faults_of(write(tmp_path, f"detectors: {{{text}}}\n"))
    assert fault in line
    assert "shadow" in line


def test_logs_are_read_back_for_the_longer_time(tmp_path: Path) -> None:
    """After a start, lines within the shadow's `findtime` count for it."""
    path = write(tmp_path, "detectors: {failures: {sshd: {shadow: {findtime: 2h}}}}\n")
    assert load(path).settings.detectors.failures["sshd"].longest_findtime_s == 7200.0
