"""The daemon records while it protects, and protects while it cannot record."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Lab

pytestmark = pytest.mark.kernel


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Return a running daemon."""
    with Lab("node", label="record") as lab:
        one = Daemon(lab["node"], tmp_path, "recording: {max_bytes: 2MB}\n")
        one.start()
        yield one
        if one.process is not None and one.process.poll() is None:
            one.stop()


def _ask(daemon: Daemon, *arguments: str) -> Any:
    done = daemon.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _trouble(daemon: Daemon) -> str:
    """Have it write what there is; return why it cannot."""
    return str(_ask(daemon, "record", "info")["daemon"]["trouble"])


def test_what_happened_is_in_the_recording(daemon: Daemon, tmp_path: Path) -> None:
    """Starts, orders and configurations, across a restart; stopping is remembered; an export holds the same."""
    assert daemon.run("ban", "203.0.113.5").returncode == 0
    daemon.stop()
    daemon.start()
    found = _ask(daemon, "record", "info")
    assert (found["starts"], found["orders"], found["configurations"]) == (2, 1, 1)
    assert found["daemon"]["is_on"]
    assert (found["damaged"], found["gaps"]) == (0, [])
    segments = sorted((tmp_path / "state/recording").iterdir())
    assert [path.stat().st_mode & 0o777 for path in segments] == [0o600] * len(segments)

    assert not _ask(daemon, "record", "stop")["is_on"]
    daemon.stop()
    daemon.start()
    assert "the recording was stopped by command" in daemon.run("status").stdout
    assert _ask(daemon, "record", "start")["is_on"]

    key, file = tmp_path / "key", tmp_path / "out.recording"
    done = daemon.run("record", "export", str(file), "--pseudonyms", str(key))
    assert done.returncode == 0, done.stderr
    exported = _ask(daemon, "record", "info", str(file))
    assert exported["orders"] == 1
    assert b"203.0.113.5" not in file.read_bytes()
    assert daemon.run("record", "export", str(file)).returncode == 1  # it is there already


def test_a_recording_that_cannot_be_written_costs_no_ban(daemon: Daemon, tmp_path: Path) -> None:
    """A problem in status, a metric and the self-check; it goes on by itself when it can."""
    directory = tmp_path / "state/recording"
    wait_for(directory.exists, "the recording to begin", lambda: daemon.log, 20.0)
    shutil.rmtree(directory)
    directory.write_text("in the way")
    wait_for(
        lambda: _trouble(daemon) == "File exists",
        "the problem to be reported",
        lambda: daemon.log,
        30.0,
    )
    assert "the recording cannot be written" in daemon.run("status", "--check").stdout
    assert daemon.run("ban", "203.0.113.6").returncode == 0
    (part,) = [one for one in _ask(daemon, "doctor")["parts"] if one["name"] == "recording"]
    assert part["state"] == "could be better"
    directory.unlink()
    wait_for(
        lambda: not _trouble(daemon),
        "the recording to go on",
        lambda: daemon.log,
        60.0,
    )
    assert "the recording cannot be written" not in daemon.run("status", "--check").stdout
    gaps = [gap for gap in _ask(daemon, "record", "info")["gaps"] if gap["where"] == "disk"]
    assert len(gaps) == 1
