"""Floods: how long they last, and how large they are."""

from monitor.daemon.pipeline.floods import Floods
from monitor.detectors.half_open import HalfOpenDetector
from monitor.detectors.limits import Limits
from monitor.detectors.port_scan import PortScanDetector
from monitor.model.alerts import Evidence, FloodAlert

_DETECTORS = (HalfOpenDetector(Limits(10.0, 200, 1024), 5000), PortScanDetector(Limits(10.0, 200, 1024)))


def _flood(time_s: float, count: int) -> FloodAlert:
    evidence = Evidence(count, 5000, 2.0, time_s - 2.0, time_s, "half-open connections")
    return FloodAlert("half_open", time_s, "tcp/443 of 192.0.2.1", evidence)


def _series(floods: Floods, now_s: float) -> dict[tuple[str, ...], float]:
    return {(name, *labels): value for name, labels, value in floods.samples(_DETECTORS, now_s)}


def test_a_flood_has_its_true_size_and_lasts_for_a_minute_after_its_last_alert() -> None:
    """3,000 attempts a second are 3,000, however seldom they are reported; a detector without floods has no series."""
    floods = Floods()
    active, size = ("nodewarden_flood_active", "half_open"), ("nodewarden_flood_attempts_per_second", "half_open")
    assert _series(floods, 100.0) == {active: 0.0, size: 0.0}
    floods.note([_flood(100.0, 6000)])
    assert _series(floods, 159.0) == {active: 1.0, size: 3000.0}
    assert _series(floods, 160.0) == {active: 0.0, size: 0.0}
    assert floods.describe(160.0) == []


def test_a_flood_that_goes_on_is_one_flood() -> None:
    """It lasts since its first alert; after a quiet minute another one starts."""
    floods = Floods()
    for time_s in (100.0, 110.0, 120.0):
        floods.note([_flood(time_s, 6000)])
    assert floods.describe(130.0)[0].startswith("there is a flood, for 32 s by now: 6000 half-open")
    floods.note([_flood(300.0, 8000)])
    assert floods.describe(300.0)[0].startswith("there is a flood, for 2 s by now: 8000 half-open")
