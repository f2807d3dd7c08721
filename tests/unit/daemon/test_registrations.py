"""Sources register themselves: configuration, metrics, runners and the self-check follow from one list."""

import typing
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

import monitor.sources
from monitor.bans.ledger import Ledger
from monitor.config.types import PortRange
from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.sources.registrations import SOURCES, Configured
from monitor.detectors.drop_rate import DropRateSettings
from monitor.enforcers.xdp import XdpEnforcer
from monitor.model.addresses import parse_network
from monitor.model.cursors import Cursor
from monitor.model.events import Event
from monitor.model.logs import LogBlock
from monitor.model.pods import Pods
from monitor.model.requirements import Privileges
from monitor.settings.bans import Bans, Xdp
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings, SourcesSettings
from monitor.sources.drops.settings import DropCounting
from monitor.sources.log_scanner import BlockScan
from monitor.sources.registration import RunnerContext

ALL = Settings(bans=Bans(xdp=Xdp(interfaces=("eth0",))))
"""Settings that enable every source."""
EACH = pytest.mark.parametrize("row", SOURCES, ids=lambda row: row.source.name)


class Nothing:
    """A cursor store and scanner for a daemon that reads no logs."""

    files: Mapping[str, tuple[str, ...]] = {}
    journal: Mapping[str, tuple[tuple[str, ...], ...]] = {}

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return none."""
        return {}

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Forget it."""

    def begin(self, block: LogBlock) -> BlockScan | None:
        """Scan nothing."""
        return None


NOTHING = Nothing()
CONTEXT = RunnerContext(lambda _: None, NOTHING, NOTHING, XdpEnforcer(Ledger(max_bans=16), ()), Pods())


def test_every_folder_is_registered() -> None:
    """Each folder of sources is in the list once, under a name of its own."""
    folders = {path.parent.name for path in Path(monitor.sources.__path__[0]).glob("*/__init__.py")}
    registered = [row.source.settings.__module__.split(".")[-2] for row in SOURCES]
    assert sorted(registered) == sorted(folders)
    assert len({row.source.name for row in SOURCES}) == len(SOURCES)


def test_each_section_belongs_to_the_source_of_its_name() -> None:
    """`sources.NAME` is read into the section that the source of this name registers; XDP is configured by `bans`.

    Drop counting takes settings of detectors in addition to its section.
    """
    sections = {field.encode_name: type(field.default) for field in msgspec.structs.fields(SourcesSettings)}
    registered = {row.source.name: row.source.settings for row in SOURCES}
    assert registered.keys() - sections.keys() == {"xdp"}
    assert registered["drops"] is DropCounting
    assert {name: registered[name] for name in sections} == sections | {"drops": DropCounting}
    assert type(DropCounting(Settings().sources.drops).section) is sections["drops"]


def test_drops_are_counted_by_the_settings_of_detectors() -> None:
    """Which tunnels are trusted, and which ports belong to the node's clients, is configured where it is used."""
    peers = (parse_network("10.0.0.0/24"),)
    detectors = Detectors(drop_rate=DropRateSettings(overlay_peers=peers), ephemeral_ports=PortRange(1024, 65535))
    (row,) = (row for row in SOURCES if row.source.name == "drops")
    settings = Settings(detectors=detectors)
    assert row.settings_in(settings) == DropCounting(settings.sources.drops, peers, PortRange(1024, 65535))


@EACH
def test_a_source_gets_its_own_settings(row: Configured[object]) -> None:
    """What is picked out of the whole configuration is of the type that the source registers."""
    assert type(row.settings_in(ALL)) is row.source.settings


def test_every_type_of_event_has_a_source() -> None:
    """The types that sources hand on are all that detectors can take, and no others."""
    assert {kind for row in SOURCES for kind in row.source.yields} == set(typing.get_args(Event))


@EACH
def test_a_runner_reports_only_metrics_of_the_catalogue(row: Configured[object]) -> None:
    """Its name is the registered one, and each of its samples has a metric with as many labels."""
    runner = row.source.make(row.settings_in(ALL), CONTEXT)
    assert runner.name == row.source.name
    samples = list(runner.samples())
    assert ("nodewarden_source_up", (runner.name,), 0.0) in samples
    assert all(len(labels) == len(BY_NAME[name].labels) for name, labels, _ in samples)
    assert runner.describe()["name"] == runner.name


@EACH
def test_a_source_is_a_part_of_the_self_check(row: Configured[object]) -> None:
    """Trying what it needs gives findings, whose first part has its name; whoever runs this may be allowed nothing."""
    settings = row.settings_in(ALL)
    findings = row.source.probe(settings, NOTHING)
    parts = findings.parts(settings, Privileges("nobody", is_sandboxed=False, capabilities=frozenset()))
    assert parts[0].name == row.source.name
    assert not parts[0].is_optional
    assert all(part.is_optional for part in parts[1:])
