"""Tracking: observing has connections tracked as enforcing does, and steps back before it costs connections."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from monitor.bans.ledger import Ledger
from monitor.daemon.life.tracking import Tracking
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.model.addresses import Network
from monitor.settings.load import load
from tests.support.policy import Willing

_OBSERVE = """
detectors: {port_scan: {mode: observe}, host_sweep: {mode: observe}, half_open: {mode: observe},
            stealth_scan: {mode: observe}, failures: {sshd: {mode: observe}}}
"""


class Table(Willing):
    """A table that counts what is done to it, without a kernel."""

    def set_up(self, now_s: float) -> None:
        """Be there."""
        self.is_up = True
        self.generation += 1

    def flush(self) -> None:
        """Be gone."""
        self.is_up = self.is_wanted = False


class Rig:
    """Tracking with everything that it asks at hand."""

    def __init__(self, directory: Path, configuration: str) -> None:
        path = directory / "nodewarden.yaml"
        path.write_text(configuration)
        self.share, self.clock_s, self.is_read = 0.0, 1000.0, True
        self.pipeline = Pipeline(load(path).settings, [], self._enforcers)
        self.tracking = Tracking(self.pipeline, lambda: self.is_read, lambda: self.share, lambda: self.clock_s)

    def _enforcers(self, ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
        self.table = Table(NftablesEnforcer(max_bans=16), ledger, allowlist)
        return Enforcement(self.table)

    def tick(self, share: float, passed_s: float = 1.0) -> bool:
        """Let time pass; return whether the table is there."""
        self.share, self.clock_s = share, self.clock_s + passed_s
        self.tracking.tick(0.0)
        return self.table.is_up


@pytest.fixture
def observing(tmp_path: Path) -> Rig:
    """Return one whose detectors all observe."""
    return Rig(tmp_path, _OBSERVE)


def test_observing_has_a_table_and_removes_it(observing: Rig) -> None:
    """It is made at the first tick, comes back after a flush, and ends with the daemon."""
    assert observing.tick(0.1)
    observing.table.flush()
    assert observing.tick(0.1)
    observing.tracking.close()
    assert not observing.table.is_up


def test_without_the_source_there_is_no_table(observing: Rig) -> None:
    """Tracking that nobody reads is not switched on."""
    observing.is_read = False
    assert not observing.tick(0.1)


def test_what_failed_to_start_removes_nothing(observing: Rig) -> None:
    """A table from before, whose bans are not yet known, stays when the start fails."""
    observing.table.is_up = True
    observing.tracking.close()
    assert observing.table.is_up


def test_it_steps_back_before_connections_are_lost(observing: Rig) -> None:
    """At nine tenths; it comes back after ten minutes, if half is free by then. Status and doctor report it."""
    assert observing.tick(0.89)
    assert observing.tracking.problems() == []
    assert observing.tracking.part().state == "ok"
    assert not observing.tick(0.9)
    assert "almost full" in observing.tracking.problems()[0]
    assert observing.tracking.part().state == "missing"
    assert not observing.tick(0.1)
    assert not observing.tick(0.6, 600.0)
    assert observing.tick(0.4)
    assert observing.tracking.problems() == []


def test_who_enforces_keeps_the_table(tmp_path: Path) -> None:
    """However full: protection stays. It stays at the end as well."""
    rig = Rig(tmp_path, "")
    assert rig.tick(1.0)
    rig.tracking.close()
    assert rig.table.is_up
