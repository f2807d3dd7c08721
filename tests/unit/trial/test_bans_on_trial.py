"""Bans that are made while a trial waits: one of a known-good source ends the trial, and is lifted."""

from pathlib import Path

import pytest

from monitor.daemon.life.trial_watch import TrialWatch
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.trial import keeper as keeper_module
from monitor.daemon.trial.known_sources import KnownSources
from monitor.daemon.trial.record import Instant, Result, Trial
from monitor.daemon.trial.resume import without_trial
from monitor.daemon.tuning.label_file import LabelFile
from monitor.daemon.tuning.labels import Label, Opinion
from monitor.detectors.failures import FailuresSettings
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Alert
from monitor.model.bans import Mode, Standing
from monitor.settings.detectors import Detectors
from monitor.settings.load import Loaded, load
from monitor.settings.schema import Settings
from tests.support.events import failure
from tests.support.policy import willing_table
from tests.unit.config.support import write

_NOW = Instant(1000.0, 50.0, "boot")


def write_labels(directory: Path, *labels: Label) -> None:
    """Label sources."""
    LabelFile(directory).put(list(labels))


class Site:
    """A pipeline whose sshd bans at 2 failures, and a trial that waits."""

    def __init__(self, directory: Path, mode: Mode = Mode.ENFORCE, known_good: tuple[str, ...] = ()) -> None:
        path = write(directory, f"state: {{directory: {directory}}}\n")
        self.keeper = without_trial(path, load(path))
        self.keeper.attach(self)
        write_labels(directory, Label(parse_network("192.0.2.7"), Opinion.GOOD, "", 1.0))
        self.known = KnownSources(directory, self.standing)
        self.watch = TrialWatch(self.keeper, self.known)
        sshd = FailuresSettings(filter="sshd", mode=mode, maxretry=2)
        settings = Settings(detectors=Detectors(failures={"sshd": sshd}))
        self.pipeline = Pipeline(settings, (), willing_table, (self.watch.bans,))
        self.watch.attach(self.pipeline)
        self.keeper.trial = Trial(
            name="try.yaml", target=str(path), content="", before=None, limit_s=600.0, started_s=1000.0, wall_s=1000.0,
            boot_s=50.0, boot_id="boot", known_good=known_good,
        )  # fmt: skip

    def standing(self, network: Network, alert: Alert | None) -> Standing | None:
        """Know one internal network."""
        assert alert is None or alert.detector == "sshd"
        return Standing.INTERNAL if str(network).startswith("10.") else None

    def reload(self) -> None:
        """Have nothing to follow."""

    def put_back(self, loaded: Loaded) -> None:
        """Have nothing to put back."""

    def fail(self, *sources: str) -> None:
        """Have sources fail twice, and let a second pass."""
        self.pipeline.process([failure(one) for one in sources * 2], 1000.0)
        self.watch.tick(1001.0)

    @property
    def banned(self) -> set[str]:
        """Return who is banned."""
        return {str(ban.network) for ban in self.pipeline.ledger.bans()}


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "instant", lambda: _NOW)
    monkeypatch.setattr("monitor.daemon.life.trial_watch.instant", lambda: _NOW)


def test_a_stranger_is_banned_and_the_trial_continues(tmp_path: Path) -> None:
    """That is what it is for."""
    site = Site(tmp_path)
    site.fail("198.51.100.1")
    assert site.keeper.trial is not None
    assert site.banned == {"198.51.100.1"}


def test_a_known_good_source_ends_it(tmp_path: Path) -> None:
    """Its ban is lifted, those of others stay, and the reason says who it was."""
    site = Site(tmp_path)
    site.fail("198.51.100.1", "192.0.2.7")
    assert site.keeper.trial is None
    assert site.keeper.ended is not None
    assert (site.keeper.ended.result, site.banned) == (Result.KNOWN_GOOD, {"198.51.100.1"})
    text = "a known-good source was banned: 192.0.2.7 (good) by sshd; its ban is lifted"
    assert site.keeper.ended.text == text
    samples = {labels: value for name, labels, value in site.watch.samples() if name == "nodewarden_trials_total"}
    assert samples["known_good",] == 1


def test_an_internal_source_ends_it_unless_it_is_labelled_bad(tmp_path: Path) -> None:
    """The operator's label is the last word, also one that was set meanwhile."""
    site = Site(tmp_path)
    write_labels(tmp_path, Label(parse_network("10.1.1.1"), Opinion.BAD, "", 1.0))
    site.fail("10.1.1.1")
    assert site.keeper.trial is not None
    site.fail("10.1.1.2")
    assert site.keeper.ended is not None
    assert "10.1.1.2 (internal) by sshd" in site.keeper.ended.text
    assert site.banned == {"10.1.1.1"}


def test_damaged_labels_are_a_problem_while_a_trial_waits(tmp_path: Path) -> None:
    """What was read before still counts."""
    site = Site(tmp_path)
    site.watch.tick(1000.0)
    (tmp_path / "labels.json").write_text("{")
    site.watch.tick(1001.0)
    (problem,) = site.watch.problems()
    assert "labels.json is damaged" in problem
    site.fail("192.0.2.7")
    assert site.keeper.trial is None
    assert site.watch.problems() == []


def test_clients_of_long_standing_come_with_the_trial(tmp_path: Path) -> None:
    """The history knows them; an address of theirs is enough."""
    site = Site(tmp_path, known_good=("203.0.113.0/24",))
    site.fail("198.51.100.1", "203.0.113.9")
    assert site.keeper.trial is None
    assert site.banned == {"198.51.100.1"}


def test_what_is_only_observed_is_no_ban(tmp_path: Path) -> None:
    """A detector that observes harms nobody."""
    site = Site(tmp_path, Mode.OBSERVE)
    site.fail("192.0.2.7")
    assert site.keeper.trial is not None


def test_without_a_trial_nothing_is_lifted(tmp_path: Path) -> None:
    """A known-good source that the confirmed configuration bans is banned."""
    site = Site(tmp_path)
    site.keeper.trial = None
    site.fail("192.0.2.7")
    assert site.banned == {"192.0.2.7"}
