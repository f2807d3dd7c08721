"""Who writes in sshd's name to a real journald, and what comes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.files.permissions import file_writer
from monitor.filters.evidence import doubt
from monitor.model.alerts import Strength
from monitor.model.writers import JournalWriter
from monitor.sources.journal.reader import Journal
from tests.kernel.test_journal import follow, journald
from tests.support.journald import Journald
from tests.unit.filters.builtin_support import definition_of, make_matcher, scan

__all__ = ["journald"]

pytestmark = pytest.mark.kernel

LINE = "Failed password for root from 192.0.2.66 port 40112 ssh2"
FORGED = {"_SYSTEMD_UNIT": "ssh.service", "_EXE": "/usr/sbin/sshd", "_UID": "0", "_TRANSPORT": "syslog"}


@pytest.fixture
def source(journald: Journald) -> Iterator[Journal]:
    """Follow the entries that call themselves sshd's."""
    opened = Journal({"d": [["SYSLOG_IDENTIFIER=sshd"]]}, directory=journald.directory)
    yield opened
    opened.close()


@pytest.mark.parametrize("uid", [0, 33, 999, 1000])
def test_nobody_else_proves_in_sshd_s_name(journald: Journald, source: Journal, uid: int) -> None:
    """Root's shell, a web server, a build job and a user write a genuine line with forged fields: it only shuns."""
    journald.send(LINE, uid=uid, **FORGED)
    (block,) = follow(source, list)
    assert isinstance(block.writer, JournalWriter)
    assert (block.writer.uid, block.writer.transport, block.writer.is_local) == (uid, "journal", True)
    assert "python3" in block.writer.executable
    assert doubt(definition_of("sshd").evidence, block.writer)
    events = make_matcher("sshd").scan(block)
    assert [(event.strength, bool(event.doubt)) for event in events] == [(Strength.SPOOFABLE, True)]


def test_a_user_who_reaches_auth_log_through_syslog_proves_nothing(tmp_path: Path) -> None:
    """A file of root that only a syslog daemon writes holds what everybody sent to it."""
    path = tmp_path / "auth.log"
    path.write_text(f"Nov 23 17:33:52 web1 sshd[2101]: {LINE}\n")
    path.chmod(0o640)
    writer = file_writer(str(path))
    assert writer.grants == ()
    (event,) = scan(make_matcher("sshd"), (path.read_text().rstrip(),), writer=writer)
    assert event.strength is Strength.SPOOFABLE
    assert "no file that only the application writes" in event.doubt
