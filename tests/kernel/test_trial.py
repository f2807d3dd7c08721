"""Trial configurations with the real daemon: kills, restarts, confirmations, and a ban that should not have been."""

import json
import os
import signal
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel


def _apply(site: Site, directory: Path, maxretry: int, name: str) -> CompletedProcess[str]:
    file = directory / name
    file.write_text(f"detectors: {{port_scan: {{maxretry: {maxretry}}}}}\n")
    main_file = str(site.daemon.configuration_path)
    return site.daemon.run("apply", str(file), "--confirm-within", "10m", "--config", main_file)


def _maxretry(site: Site) -> int:
    detectors = site.daemon.ask("status")["detectors"]
    return next(int(one["maxretry"]) for one in detectors if one["name"] == "port_scan")


def _kill(site: Site) -> None:
    os.kill(site.daemon.pid, signal.SIGKILL)
    assert site.daemon.process is not None
    site.daemon.process.wait()


def test_it_outlives_a_kill_within_its_time_and_no_start_after_it(site: Site, tmp_path: Path) -> None:
    """A second one is refused meanwhile; confirmed, it is a file like any other."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    site.daemon.start()
    usual = _maxretry(site)
    done = _apply(site, directory, 9, "60-try.yaml")
    assert done.returncode == 0, done.stderr
    assert "port_scan: maxretry" in done.stdout
    _kill(site)
    site.daemon.start()
    assert _maxretry(site) == 9
    (notice,) = [one for one in site.daemon.ask("status")["notices"] if one.startswith("trial configuration")]
    assert "60-try.yaml, 9m" in notice
    assert "60-try.yaml waits: `nodewarden apply --confirm`" in _apply(site, directory, 8, "70-other.yaml").stderr
    place = site.daemon.configuration_path.parent / "conf.d/60-try.yaml"
    assert not place.exists()
    done = site.daemon.run("apply", "--confirm", "--config", str(site.daemon.configuration_path))
    assert done.returncode == 0, done.stderr
    assert place.exists()
    assert _apply(site, directory, 8, "70-other.yaml").returncode == 0
    assert _maxretry(site) == 8
    _kill(site)
    record = site.daemon.configuration_path.parent / "state/trial.json"
    remembered = json.loads(record.read_text())
    remembered["trial"]["used_s"] = remembered["trial"]["limit_s"]
    record.write_text(json.dumps(remembered))
    site.daemon.start()
    assert _maxretry(site) == 9 != usual
    assert site.daemon.metrics()['nodewarden_trials_total{result="time"}'] == 1
    assert site.daemon.ask("status")["problems"] == []


def test_a_ban_of_an_internal_source_ends_it(site: Site, tmp_path: Path) -> None:
    """The attackers of the lab have private addresses: the first of them that the trial bans is free again."""
    site.daemon.start()
    usual = _maxretry(site)
    assert _apply(site, tmp_path, 5, "60-try.yaml").returncode == 0
    site.scan()
    wait_for(lambda: _maxretry(site) == usual, "the trial to end", lambda: site.daemon.log)
    ended = site.daemon.ask("apply", "--status")["ended"]
    assert ended["result"] == "known_good"
    assert f"{site.attacker.address4} (internal) by port_scan; its ban is lifted" in ended["text"]
    events = site.daemon.run("events", "--json").stdout.splitlines()
    assert [json.loads(one)["result"] for one in events if '"trial"' in one] == ["started", "known_good"]
