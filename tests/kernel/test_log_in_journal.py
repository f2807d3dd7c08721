"""The daemon's log behind a real systemd-journald: fields arrive as they are, whatever attackers wrote."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.life.logs import PREFIX
from monitor.daemon.pipeline.decision_fields import NAMES
from tests.support.daemon import wait_for
from tests.support.journald import JOURNALD, Journald
from tests.support.needs import cannot_run

pytestmark = pytest.mark.kernel

_HOSTILE = 'x\nMESSAGE=forged\n_UID=0\x00\x1b[2J\udcff "quoted" \\ pod=evil'
_SCRIPT = f"""
import logging, os
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{found.st_dev}}:{{found.st_ino}}"
from monitor.daemon.life.logs import set_up
from monitor.daemon.pipeline.decision_fields import Place
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.settings.schema import Log
from tests.unit.daemon.test_decision_log import BAN, FLOOD, bans, decided
from monitor.model.bans import Mode
import msgspec
set_up(Log())
log = DecisionLog(Place("node-1", lambda address: {_HOSTILE!r}))
log.settled([decided(ban=msgspec.structs.replace(BAN, reason={_HOSTILE!r}))], 100.0)
log.settled(bans(30), 100.0)
log.flooded(FLOOD, Mode.ENFORCE)
log.close()
logging.getLogger("x").error("%s", {_HOSTILE!r})
"""


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    """Run a journald that takes all it is sent."""
    if not JOURNALD.exists():
        cannot_run(f"needs {JOURNALD}")
    server = Journald(tmp_path)
    yield server
    server.end()


def _entries(journald: Journald) -> list[dict[str, Any]]:
    command = ("journalctl", "-q", "-D", next(journald.files()).parent, "-o", "json", "SYSLOG_IDENTIFIER=nodewarden")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_decisions_arrive_with_their_fields(journald: Journald) -> None:
    """A hostile reason, a burst and a flood: one entry each, all fields as text, and none that we did not write."""
    with journald.inside(_SCRIPT) as running:
        assert running.wait(60) == 0
    wait_for(lambda: len(_entries(journald)) >= 23, "entries in the journal")
    entries = _entries(journald)
    assert len(entries) == 23
    decisions = [entry for entry in entries if f"{PREFIX}EVENT" in entry]
    for entry in decisions:
        fields = {name: entry[f"{PREFIX}{name.upper()}"] for name in NAMES}
        assert all(isinstance(text, str) and text.isprintable() for text in fields.values())
        assert fields["node"] == "node-1"
        assert {name for name in entry if name.startswith(PREFIX)} == {f"{PREFIX}{name.upper()}" for name in NAMES}
    assert [entry[f"{PREFIX}EVENT"] for entry in decisions] == ["ban"] * 20 + ["flood", "ban"]
    assert {entry["MESSAGE"] == "forged" for entry in entries} == {False}
    assert entries[0][f"{PREFIX}REASON"].startswith(r"x\nMESSAGE=forged\n_UID=0\x00\x1b[2J")
    assert len(decisions[-1][f"{PREFIX}NETWORKS"].split()) == 11
    assert entries[0]["MESSAGE"].startswith("ban 192.0.2.7 for 600 s (sshd): x\\nMESSAGE=forged")
    assert (entries[-1]["PRIORITY"], entries[-1]["LOGGER"]) == ("3", "x")
    assert entries[-1]["MESSAGE"].isprintable()
