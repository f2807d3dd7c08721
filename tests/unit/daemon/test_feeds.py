"""A detector that no source feeds is noticed: at start if none ever could, in status and log if all are off."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from monitor.daemon.pipeline import arrangement
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.pipeline.wiring import wanted
from monitor.daemon.sources.feeds import check_fed, unfed
from monitor.daemon.sources.registrations import SOURCES, Configured
from monitor.detectors.detector import Detector
from monitor.detectors.registration import Registration
from monitor.detectors.registry import ALL, REGISTRATIONS
from monitor.detectors.settings import DetectorSettings
from monitor.model.alerts import Alert
from monitor.model.errors import PermanentError
from monitor.model.events import PacketLogged, SenderObserved
from monitor.model.flows import FlowBatch, OutboundIncomplete
from monitor.settings.schema import Settings
from tests.support.policy import small_table


def fed_with(event: type, *, more: bool) -> str:
    """Name the wanted detectors that take this type of event, alone or among others."""
    return ", ".join(
        one.name for one in wanted(Settings()) if event in one.detector.takes and (len(one.detector.takes) > 1) is more
    )


def fed_with_flows() -> str:
    """Name the wanted detectors that only connection tracking feeds."""
    takes = ((FlowBatch,), (OutboundIncomplete,))
    return ", ".join(one.name for one in wanted(Settings()) if one.detector.takes in takes)


NO_PROBES = (
    f"{fed_with(PacketLogged, more=True)} find nothing: "
    "sources.kernel_log.enabled is off and sources.conntrack.enabled is off"
)
NO_FLOWS = f"{fed_with_flows()} find nothing: sources.conntrack.enabled is off"


class Unheard:
    """An event that no source yields."""


class DeafSettings(DetectorSettings, frozen=True, kw_only=True):
    """The section of a detector that is never fed."""


class DeafDetector(Detector[Any]):
    """Waits for an event that never comes."""

    name = "deaf"
    takes = (Unheard,)  # type: ignore[assignment]

    def feed(self, events: Sequence[Any]) -> list[Alert]:
        """Return nothing."""
        return []


DEAF = Registration(
    detector=DeafDetector,
    settings=DeafSettings,
    summary="Never fires.",
    make=lambda section, context: DeafDetector(section.limits(context.ipv6_prefix)),
)


def make(settings: Settings) -> Pipeline:
    """Return a pipeline that bans nobody."""
    return Pipeline(settings, (), small_table)


def switched_off(*names: str) -> Settings:
    """Return settings in which these sources are off."""
    settings = Settings()
    off = {name: replace(getattr(settings.sources, name), enabled=False) for name in names}
    return replace(settings, sources=replace(settings.sources, **off))


def without(event: type) -> list[Configured[Any]]:
    """Return the sources as they would be if none yielded this type of event."""
    rows = []
    for row in SOURCES:
        yields = tuple(one for one in row.source.yields if one is not event)
        rows.append(msgspec.structs.replace(row, source=msgspec.structs.replace(row.source, yields=yields)))
    return rows


def test_every_detector_is_fed() -> None:
    """Each registered detector takes what a source yields."""
    check_fed(ALL)


def test_a_detector_that_nothing_feeds_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which event has no source and where to add it, before anything is opened."""
    monkeypatch.setattr(arrangement, "ALL", (*ALL, DEAF))
    with pytest.raises(PermanentError) as caught:
        make(Settings())
    assert str(caught.value) == (
        "detector deaf would find nothing: no source yields Unheard; "
        "add the event to its source's `yields` (monitor/sources/NAME/registration.py), or change what it takes"
    )


def test_one_of_several_events_is_enough() -> None:
    """Scans are found as long as connection tracking reports attempts, although no firewall logs."""
    check_fed(ALL, without(PacketLogged))


def test_the_detector_that_starves_is_named() -> None:
    """The first one whose only event has no source."""
    with pytest.raises(PermanentError, match="detector syn_rate would find nothing: no source yields SenderObserved;"):
        check_fed(ALL, without(SenderObserved))


@pytest.mark.parametrize(
    ("off", "notices"),
    [
        ((), []),
        (("kernel_log",), []),
        (("journal", "files"), []),
        (("drops",), ["drop_rate, stealth_scan, closed_port_scan find nothing: sources.drops.enabled is off"]),
        (("conntrack",), [NO_FLOWS]),
        (("kernel_log", "conntrack"), [NO_PROBES, NO_FLOWS]),
    ],
)
def test_what_is_on_without_a_source_is_named(
    off: tuple[str, ...], notices: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In the notices of `status` and in the log at start; detectors of log text name their source by their filter."""
    with caplog.at_level(logging.WARNING, logger=arrangement.__name__):
        stages = make(switched_off(*off))
    assert stages.notices == notices
    assert [record.message for record in caplog.records if record.name == arrangement.__name__] == notices


def test_what_is_not_wanted_is_not_named() -> None:
    """Without approved destinations and without XDP interfaces three detectors are off, which nobody needs to know."""
    made = {one.name for one in wanted(Settings())}
    assert [one.name for one in REGISTRATIONS if one.name not in made] == ["egress", "syn_rate", "udp_rate"]
    assert unfed(REGISTRATIONS, Settings()) == ["syn_rate, udp_rate find nothing: bans.xdp.interfaces is off"]


def test_a_reload_follows(caplog: pytest.LogCaptureFixture) -> None:
    """A source that is switched off is logged once, and is no notice any more when it is back."""
    stages = make(Settings())
    with caplog.at_level(logging.WARNING, logger=arrangement.__name__):
        for _ in range(2):
            stages.reconfigure(switched_off("drops"), (), 1000.0)
            assert len(stages.notices) == 1
    assert caplog.messages == stages.notices
    stages.reconfigure(Settings(), (), 1001.0)
    assert stages.notices == []
