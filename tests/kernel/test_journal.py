"""The journal source behind a real systemd-journald in a mount namespace of its own."""

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.model.logs import LogBlock
from monitor.model.writers import ordinary_reason
from monitor.sources.journal.reader import Journal
from tests.support.daemon import wait_for
from tests.support.journal import drain, text
from tests.support.journald import JOURNALD, Journald
from tests.support.needs import cannot_run

pytestmark = pytest.mark.kernel

SSH = {"sshd": [["SYSLOG_IDENTIFIER=sshd"]]}


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    """Run a journald that takes all it is sent."""
    if not JOURNALD.exists():
        cannot_run(f"needs {JOURNALD}")
    server = Journald(tmp_path)
    yield server
    server.end()


def follow(source: Journal, enough: Callable[[list[LogBlock]], Any]) -> list[LogBlock]:
    """Return the blocks read, woken by the descriptor alone, until there are enough."""
    blocks = drain(source)
    while not enough(blocks):
        assert select.select([source.fileno()], [], [], 20)[0], "nothing woke the reader"
        blocks += drain(source)
    return blocks


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_root_is_trusted_and_a_user_s_imitation_is_not(journald: Journald) -> None:
    """journald's own fields tell who wrote an entry; fields that a user adds in their name are dropped by it."""
    source = Journal(SSH, directory=journald.directory)
    journald.send("real")
    journald.send("forged", uid=1000, SYSLOG_PID="1", _UID="0", _TRANSPORT="kernel", _SYSTEMD_UNIT="ssh.service")
    trusted, forged = follow(source, lambda blocks: len(blocks) >= 2)
    source.close()
    assert (text([trusted]), ordinary_reason(trusted.writer)) == ([b"real"], "")
    assert (text([forged]), ordinary_reason(forged.writer)) == ([b"forged"], "account 1000 wrote it")
    host = os.uname().nodename.encode()
    assert trusted.data.startswith(host + b" sshd[")
    assert abs(trusted.times_s[0] - trusted.read_s) < 60


def test_nothing_is_lost_doubled_or_leaked_over_fifty_rotations(journald: Journald) -> None:
    """Rotated and vacuumed again and again, the reader never goes silent, and holds no file that is gone."""
    source = Journal(SSH, directory=journald.directory)
    read: list[bytes] = []
    counts = []
    for number in range(50):
        journald.send(f"before {number}")
        journald.rotate()
        journald.send(f"after {number}")
        read += text(follow(source, lambda blocks: len(text(blocks)) >= 2))
        if number % 5 == 4:
            journald.vacuum(left=2)
            wait_for(lambda: drain(source) == [] and not _deleted(), "deleted files to be closed")
            counts.append(descriptors())
    source.close()
    assert read == [b"%s %d" % (word, number) for number in range(50) for word in (b"before", b"after")]
    assert max(counts) == min(counts)
    assert source.stats.lost == 0


def _deleted() -> list[str]:
    """Return the deleted journal files that this process holds open."""
    names = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            name = str(link.readlink())
        except OSError:
            continue
        if ".journal" in name and name.endswith("(deleted)"):
            names.append(name)
    return names


def test_the_cursor_survives_rotation_and_vacuuming(journald: Journald) -> None:
    """A second reader goes on where the first stopped, in an archived file; once that is vacuumed, a gap is told."""
    first = Journal(SSH, directory=journald.directory)
    journald.send("a")
    assert text(follow(first, list)) == [b"a"]
    cursor = first.cursor
    first.close()
    journald.send("b")
    journald.rotate()
    journald.send("c")
    second = Journal(SSH, cursor=cursor, directory=journald.directory)
    assert text(follow(second, lambda blocks: len(text(blocks)) >= 2)) == [b"b", b"c"]
    second.close()
    assert (second.stats.lost, second.notices) == (0, [])
    journald.vacuum(left=1)
    third = Journal(SSH, cursor=cursor, directory=journald.directory)
    assert text(drain(third)) == [b"c"]
    third.close()
    assert third.stats.lost == 1
    assert third.notices


def test_an_idle_reader_costs_nothing(journald: Journald) -> None:
    """Drained, the descriptor is silent, and a loop that waits for it needs no timeout."""
    source = Journal(SSH, directory=journald.directory)
    journald.send("a")
    follow(source, list)
    wait_for(lambda: not select.select([source.fileno()], [], [], 0)[0] or drain(source), "silence")
    assert source.timeout_s is None
    source.close()


_FOLLOW = """
import select
from monitor.model.errors import TemporaryError
from monitor.sources.journal.reader import Journal

def opened(cursor):
    source = Journal({"sshd": [["SYSLOG_IDENTIFIER=sshd"]]}, cursor=cursor)
    print("opened", flush=True)
    return source

source = opened("")
while True:
    try:
        for block in source.read():
            print(block.data.decode().split(": ")[1], end="", flush=True)
    except TemporaryError as error:
        source.close()
        source = opened(source.cursor)
        continue
    if source.is_drained and not select.select([source.fileno()], [], [], 20)[0]:
        break
"""


def test_a_journal_that_moves_to_the_disk_is_followed(journald: Journald) -> None:
    """The machine's own journal is found; when it becomes persistent, the reader asks to be reopened, at its cursor.

    libsystemd never looks into a directory that did not exist when it was opened.
    """
    reader = journald.inside(_FOLLOW)
    assert reader.stdout
    try:
        assert reader.stdout.readline() == "opened\n"
        journald.send("volatile")
        assert reader.stdout.readline() == "volatile\n"
        journald.make_persistent()
        assert reader.stdout.readline() == "opened\n"
        journald.send("persistent")
        assert reader.stdout.readline() == "persistent\n"
    finally:
        reader.kill()
        reader.communicate()
