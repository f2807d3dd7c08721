"""`nodewarden compare` over a recorded day: both sides, the command line, and what cannot be judged."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import cli
from monitor.daemon.replay.engine import Replay
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import read_filters, read_settings
from monitor.daemon.tuning.ban_history import BanCollector, BanHistory
from monitor.daemon.tuning.compare import compare
from monitor.daemon.tuning.label_file import LabelFile
from monitor.daemon.tuning.labels import Label, Opinion
from monitor.daemon.tuning.side import as_one_run, run_side
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.model.errors import NodewardenError
from monitor.recording.inputs import Configured, Gap, Input, Restored, Skipped, Started
from monitor.recording.reader import Recording
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support import recorded_site as site
from tests.support.days import Day

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the day once."""
    return site.record_day(tmp_path_factory.mktemp("site"))


@pytest.fixture
def run(tmp_path: Path, recording: Path) -> Run:
    """Run `nodewarden compare` with a configuration of this text."""

    def call(text: str, *arguments: str, of: Path = recording) -> Result:
        path = tmp_path / "new/nodewarden.yaml"
        if not path.exists():
            site.write(tmp_path, "new", text)
        return CliRunner().invoke(cli, ["compare", "--config", str(path), "--recording", str(of), *arguments])

    return call


def test_a_stricter_configuration_bans_the_wrong_ones(run: Run) -> None:
    """It adds the probe, which is internal, and a client; the limits are named, and the exit code is 1."""
    done = run(site.STRICT, "--json", "--max-new-bans", "1", "--max-internal", "0", "--max-known-good", "2")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert found["exceeded"] == [
        "2 bans are added: more than --max-new-bans 1",
        "1 added or stronger bans hit internal addresses: more than --max-internal 0",
    ]
    changes = {one["network"]: (one["kinds"], one["marks"]) for one in found["changes"]}
    assert changes == {site.PROBE: (["added"], ["internal"]), site.CLIENT: (["added"], ["client"])}
    assert found["by_detector"] == {"sshd": {"added": 2}}
    assert (found["old"]["bans"], found["new"]["bans"]) == (2, 4)
    assert found["recording"]["node"] == "web1"
    assert "drop_rate" in found["recording"]["unfed"]


def test_a_table_for_people(run: Run) -> None:
    """What is lost, of which detector, and what the recording cannot tell."""
    done = run(site.LENIENT, "--max-lost-bans", "2")
    assert done.exit_code == 0
    assert f"{site.ATTACKER}  lost" in done.output
    assert "can find nothing here: the history has no packets that the kernel dropped (drops_observed)" in done.output
    assert "all        0      2" in done.output


def test_against_another_configuration(run: Run, tmp_path: Path) -> None:
    """Both sides can be given; labels of another node can be, too."""
    LabelFile(tmp_path).put([Label(parse_network(site.ATTACKER), Opinion.BAD, "", 0.0)])
    strict = site.write(tmp_path, "strict", site.STRICT)
    done = run(site.LENIENT, "--against", str(strict), "--labels", str(tmp_path / "labels.json"), "--json")
    found = json.loads(done.stdout)
    assert found["kinds"] == {"lost": 4}
    assert found["lost_bad"] == 1
    assert found["old"]["name"] == str(strict)


def test_a_detector_that_nothing_was_recorded_for_is_named(run: Run) -> None:
    """A new filter finds nothing in a recording without its log: that is said, and is no zero."""
    new = site.OLD.replace("  failures:\n", "  failures:\n    dropbear: {filter: dropbear}\n")
    found = json.loads(run(new, "--json").stdout)
    assert found["recording"]["unfed"]["dropbear"] == "the history has no failures in logs that its filter found"
    assert any("dropbear of NEW can find nothing here" in one for one in found["recording"]["warnings"])


def test_jails_that_are_not_on_this_machine_are_named(run: Run, tmp_path: Path) -> None:
    """In a pipeline there is no fail2ban: its jails would be lost silently."""
    new = site.OLD.replace("detectors:\n", f"detectors:\n  from_fail2ban: {tmp_path}/fail2ban\n")
    warnings = json.loads(run(new, "--json").stdout)["recording"]["warnings"]
    assert any("from_fail2ban is not there on this machine" in one for one in warnings), warnings


def test_addresses_that_pseudonyms_replaced_are_a_warning(run: Run, recording: Path, tmp_path: Path) -> None:
    """The allowlist of a configuration names real ones, and would spare nobody; without any there is no warning."""
    shared = tmp_path / "shared.recording"
    arguments = ["record", "export", str(shared), "--recording", str(recording), "--pseudonyms", str(tmp_path / "key")]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    new = site.write(tmp_path, "new", site.OLD)
    assert "has pseudonyms" not in run(site.OLD, of=shared).output
    drop_in = new.parent / "conf.d" / "50-allow.yaml"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("bans: {allowlist: [198.51.100.0/24]}\n")
    assert (
        "the recording has pseudonyms: addresses of bans.allowlist are others there" in run(site.OLD, of=shared).output
    )
    assert "has pseudonyms" not in run(site.OLD).output


def test_without_history_nothing_is_well(run: Run, tmp_path: Path) -> None:
    """Exit code 1 and no table: no events within the time, no recording at all, another file."""
    empty = site.record(tmp_path / "empty", [], load(site.write(tmp_path, "old", site.OLD)).settings)
    foreign = tmp_path / "foreign"
    foreign.write_text("hello")
    for path, more in ((empty, ()), (tmp_path / "nowhere", ()), (foreign, ())):
        done = run(site.OLD, "--max-new-bans", "0", *more, of=path)
        assert done.exit_code == 1
        assert isinstance(done.exception, NodewardenError)
        assert str(path) in str(done.exception)
        assert not done.stdout


@pytest.mark.parametrize("text", ["nonsense: 1\n", "detectors: {port_scan: {maxretry: many}}\n"])
def test_a_wrong_configuration_is_said_before_anything_runs(run: Run, text: str) -> None:
    """With file, line and key; the command exits with 2."""
    done = run(text)
    assert isinstance(done.exception, NodewardenError)
    assert "nodewarden.yaml:1" in str(done.exception)


def test_wrong_usage_is_exit_code_2(run: Run) -> None:
    """A limit below zero, a time that is none, no configuration."""
    assert run(site.OLD, "--max-new-bans", "-1").exit_code == 2
    assert run(site.OLD, "--since", "whenever").exit_code == 2
    assert CliRunner().invoke(cli, ["compare"]).exit_code == 2


def test_nothing_of_the_current_directory_is_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process imports no `monitor` that somebody left where root happens to be."""
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor/__init__.py").write_text("raise SystemExit('foreign code')")
    monkeypatch.chdir(tmp_path)
    assert run(site.OLD).exit_code == 0


@pytest.mark.parametrize("is_at_once", [False, True])
def test_a_process_that_is_killed_is_no_result(run: Run, monkeypatch: pytest.MonkeyPatch, *, is_at_once: bool) -> None:
    """Half a comparison is none, as when memory is short; nor is one whose process did not even read its part."""
    children: list[subprocess.Popen[bytes]] = []

    class Stopped(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.send_signal(signal.SIGSTOP)
            children.append(self)
            if is_at_once:
                self.kill()
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def kill_and_run(*arguments: Any) -> Any:
        for child in children:
            child.kill()
        return run_side(*arguments)

    monkeypatch.setattr("monitor.daemon.tuning.comparing.subprocess.Popen", Stopped)
    monkeypatch.setattr("monitor.daemon.tuning.comparing.run_side", kill_and_run)
    done = run(site.OLD)
    assert "is memory short?" in str(done.exception)


def _history(
    inputs: Iterable[Input | Skipped], settings: Settings | None = None, filters: LogFilters | None = None
) -> BanHistory:
    collector = BanCollector()
    engine = Replay(settings, filters=filters, listeners=(collector,))
    for one in as_one_run(inputs):
        collector.now_s = one.time_s
        engine.feed(one)
    return collector.history(60)


@pytest.mark.parametrize("seed", [3, 8])
def test_a_configuration_differs_in_nothing_from_itself(seed: int) -> None:
    """Random days with restarts, orders, clock steps and refusals: what was recorded, and the same one given."""
    inputs = Day(seed).run(600).inputs
    first = next(one for one in inputs if isinstance(one, Configured))
    steady = [one for one in inputs if one is first or not isinstance(one, Configured)]
    assert any(isinstance(one, Started) for one in steady[4:])
    recorded, given = _history(steady), _history(steady, read_settings(first), read_filters(first))
    assert len(recorded.spans) > 20
    assert recorded == given


def test_a_restart_makes_no_difference(recording: Path, tmp_path: Path) -> None:
    """Under another configuration, nothing is restored of what the recorded one had banned."""

    def restarted() -> Iterator[Input | Skipped]:
        for one in Recording(recording).inputs():
            yield one
            if one.time_s == site.START_S + 8 * site.HOUR_S + 1:
                yield Gap(one.time_s, "recording", 0, "stopped")
                yield Started(one.time_s, "web1", "0.1.0")
                yield Restored(one.time_s, [Ban(parse_network("203.0.113.99"), Strength.PROVEN, 0.0, 2e9, "sshd", "")])

    plain = _history(Recording(recording).inputs())
    given = _history(restarted(), load(site.write(tmp_path, "given", site.OLD)).settings)
    assert not compare(plain, given).changes
    assert len(given.spans) == 2
