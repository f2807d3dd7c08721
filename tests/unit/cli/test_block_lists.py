"""`nodewarden lists`: what is shown, what would be taken, and what strangers wrote, which is escaped."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.lists import lists_group
from monitor.control.client import DaemonUnreachable, NotRunning, RequestRefused
from monitor.control.protocol import ListsLoaded, ListsStatus, Request
from monitor.lists.file import list_path, read_header
from monitor.lists.state import read_state, state_path
from monitor.node.addresses import read_node
from tests.support.list_server import ListServer, empty, ok
from tests.unit.cli.test_escapes import HOSTILE, is_safe

LIST = b"# Licence: free\n20.0.0.1\n20.0.1.0/24\n10.0.0.1\n8.8.8.8\n0.0.0.0/0\nbad\n"


class Daemon:
    """Stands where the daemon's socket would be."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.error: Exception | None = None
        self.rows: list[dict[str, Any]] = []

    def configured(self, _: Path) -> "Daemon":
        """Return the daemon, whatever the configuration says."""
        return self

    def ask(self, request: Request) -> Any:
        """Answer a request."""
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return self.rows if isinstance(request, ListsStatus) else None


class Rig:
    """A configuration with a served list and one from a file, and a state directory."""

    def __init__(self, directory: Path) -> None:
        self.daemon = Daemon()
        self.server = ListServer(ok(LIST))
        self.state, self.main, self.file = directory / "state", directory / "nodewarden.yaml", directory / "own.txt"
        self.state.mkdir()
        self.file.write_bytes(LIST)
        self.write(f"served: {{url: '{self.server.url}'}}", f"own: {{file: {self.file}, set: egress}}")

    def write(self, *lists: str) -> None:
        """Configure lists."""
        self.main.write_text(f"state: {{directory: {self.state}}}\nlists: {{{', '.join(lists)}}}\n")

    def run(self, *arguments: str) -> Result:
        """Run a command."""
        done = CliRunner().invoke(lists_group, [*arguments, "--config", str(self.main)], obj=self.daemon)
        assert done.exception is None or isinstance(done.exception, SystemExit) or arguments[0] == "test", done.exc_info
        return done

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the status by list."""
        return {row["name"]: row for row in json.loads(self.run("status", "--json").stdout)}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig."""
    one = Rig(tmp_path)
    yield one
    one.server.close()


def test_update_and_status(rig: Rig) -> None:
    """Each list that is renewed is handed to the daemon at once; the status has size, age, licence, hits and faults."""
    assert {row["fault"].partition(":")[0] for row in rig.rows().values()} == {"it was never fetched"}
    done = rig.run("update")
    assert done.exit_code == 0
    assert "served: renewed, 2 networks; not taken: " in done.stdout
    assert rig.daemon.requests[-2:] == [ListsLoaded(["served"]), ListsLoaded(["own"])]
    rig.daemon.rows = [{"name": "own", "entries": 2, "hits": 17, "problem": "", "mode": "observe"}]
    row = rig.rows()["own"]
    assert (row["networks"], row["licence"], row["set"], row["hits"], row["fault"]) == (
        2,
        "Licence: free",
        "egress",
        17,
        "",
    )
    assert row["not_taken"]["too wide"] == 1
    shown = rig.run("status").stdout
    assert "own: egress, observe, from " in shown
    assert "2 networks in the kernel, 17 packets hit" in shown
    assert "expires in 6d 23h" in shown
    assert "served: not due before" in rig.run("update").stdout
    assert len(rig.server.requests) == 1


def test_only_lists_that_are_named_are_renewed(rig: Rig) -> None:
    """A name that is none is a usage error; so is --accept for all."""
    assert rig.run("update", "own").exit_code == 0
    assert rig.server.requests == []
    assert not list_path(rig.state, "served").exists()
    assert rig.run("update", "onw").exit_code == 2
    assert rig.run("update", "--accept").exit_code == 2


def test_a_fault_is_exit_code_1_and_the_other_lists_go_on(rig: Rig) -> None:
    """What is wrong is said on standard error, and in the status from then on."""
    rig.server.answer = empty("404 Not Found")
    done = rig.run("update")
    assert done.exit_code == 1
    assert "served: the server answered 404 Not Found" in done.stderr
    assert "own: renewed" in done.stdout
    assert rig.rows()["served"]["fault"] == "the server answered 404 Not Found"
    assert "not renewed since" in rig.run("status").stdout


def test_lists_that_are_no_longer_configured_are_forgotten(rig: Rig) -> None:
    """Their files go with the next run, even if no list is left; other files stay."""
    rig.run("update")
    (rig.state / "lists" / "notes.txt").write_text("mine")
    rig.write()
    assert rig.run("update").exit_code == 0
    assert {path.name for path in (rig.state / "lists").iterdir()} == {".lock", "notes.txt"}


def test_without_lists_nothing_is_done(rig: Rig) -> None:
    """The timer runs everywhere: it leaves no directory, says nothing, and asks nobody."""
    rig.write()
    done = rig.run("update")
    assert (done.exit_code, done.output) == (0, "")
    assert not (rig.state / "lists").exists()
    assert rig.daemon.requests == []
    assert "no block lists are configured" in rig.run("status").stdout


@pytest.mark.parametrize(
    ("error", "exit_code"), [(NotRunning("off"), 0), (RequestRefused("no"), 1), (DaemonUnreachable("stuck"), 1)]
)
def test_a_daemon_that_does_not_take_it(rig: Rig, error: Exception, exit_code: int) -> None:
    """One that does not run reads the copy when it starts; any other reason is a failure of the command."""
    rig.daemon.error = error
    done = rig.run("update", "own")
    assert done.exit_code == exit_code
    assert ("did not take it" in done.stderr) == bool(exit_code)
    assert list_path(rig.state, "own").exists()
    assert "what is in force is unknown" in rig.run("status").stderr


def test_two_children_do_not_write_at_once(rig: Rig) -> None:
    """The second one says so."""
    rig.run("update")
    descriptor = os.open(rig.state / "lists" / ".lock", os.O_WRONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = CliRunner().invoke(lists_group, ["update", "--config", str(rig.main)], obj=rig.daemon)
    finally:
        os.close(descriptor)
    assert "being renewed already" in str(done.exception)


def test_what_a_list_would_bring(rig: Rig) -> None:
    """By name, file or URL; by reason, with examples; nothing is written, and nothing told to the daemon."""
    for source in ("own", str(rig.file), rig.server.url):
        shown = rig.run("test", source).stdout
        assert "2 networks would be taken" in shown
        assert "1 too wide\n    line 6: 0.0.0.0/0" in shown
        assert "1 public resolver\n    8.8.8.8" in shown
        assert "licence: Licence: free" in shown
        assert "they cover less than 0.001% of all IPv4 addresses, none of those of IPv6" in shown
    assert not (rig.state / "lists").exists()
    assert rig.daemon.requests == []
    found = json.loads(rig.run("test", "own", "--json").stdout)
    assert (found["taken"], found["doubt"], found["reasons"]["not readable"]) == (2, "", 1)


def test_what_looks_like_a_url_is_no_file(rig: Rig) -> None:
    """A misspelt scheme is an error of usage, with an example."""
    done = rig.run("test", "htp://lists.example.org/a.txt")
    assert (done.exit_code, "is not the URL of a list" in done.output) == (2, True)


@pytest.mark.parametrize("source", ["none", "/nowhere.txt", "http://127.0.0.1:1/", "https://user:secret@x/"])
def test_what_cannot_be_tested(rig: Rig, source: str) -> None:
    """It is said in a sentence, without a password."""
    done = rig.run("test", source)
    assert done.exit_code
    assert "secret" not in done.output + str(done.exception)


def test_a_test_says_what_an_update_would_not_take(rig: Rig) -> None:
    """A size that is not believed is said before the timer meets it."""
    rig.file.write_bytes(b"".join(b"20.0.0.%d\n" % number for number in range(20)))
    rig.run("update", "own")
    rig.file.write_bytes(b"".join(b"20.0.0.%d\n" % number for number in range(80)))
    assert "`lists update` would not take it: it grew from 20 to 80" in rig.run("test", "own").stdout
    assert rig.run("update", "own").exit_code == 1
    assert rig.run("update", "own", "--accept").exit_code == 0
    assert read_header(list_path(rig.state, "own")).entries4 == 80


def test_the_node_and_its_allowlist_are_protected(rig: Rig) -> None:
    """A list that names this node, its resolver or an allowed network bans none of them."""
    own = [str(entry.network) for entry in read_node().entries if not str(entry.network).startswith("127.")]
    assert own
    rig.main.write_text(
        rig.main.read_text() + "bans: {allowlist: [20.0.5.0/24], internal: {networks: [20.0.6.0/24]}}\n"
    )
    rig.file.write_text("\n".join([*own, "20.0.5.9", "20.0.4.0/24", "20.0.6.0/23", "20.0.0.1"]))
    found = json.loads(rig.run("test", "own", "--json").stdout)
    assert found["reasons"]["on the allowlist"] == 1
    assert found["reasons"]["internal"] >= 1
    assert found["taken"] == 1 + 2  # 20.0.4.0/24, and 20.0.7.0/24 of the /23


def _hostile_list(rig: Rig) -> None:
    text = HOSTILE.encode("utf-8", "surrogateescape").replace(b"\n", b" ")
    rig.file.write_bytes(b"# licence " + text + b"\n20.0.0.1\n" + text + b"\n")


def _hostile_server(rig: Rig) -> None:
    rig.server.answer = b"HTTP/1.1 500 \x1b[2J\xc2\x9b1m\xff\r\n\r\n"


def _hostile_redirect(rig: Rig) -> None:
    rig.server.answer = empty("302 Found", "Location: http://\x1b[2J/\x7f")


def _hostile_daemon(rig: Rig) -> None:
    rig.daemon.rows = [{"name": "own", "entries": 1, "hits": 1, "problem": HOSTILE, "mode": "x"}]


@pytest.mark.parametrize("make", [_hostile_list, _hostile_server, _hostile_redirect, _hostile_daemon])
def test_nothing_of_strangers_reaches_the_terminal_as_it_is(rig: Rig, make: Callable[[Rig], None]) -> None:
    """Neither what a list, a server and a daemon say, nor what the state remembers of them."""
    make(rig)
    for arguments in (("test", "own"), ("test", "served"), ("update",), ("status",), ("status", "--json")):
        done = rig.run(*arguments)
        assert is_safe(done.output), (arguments, done.output)
        assert is_safe(str(done.exception)) or isinstance(done.exception, SystemExit)


def test_a_directory_that_cannot_be_written_is_said(rig: Rig) -> None:
    """Instead of a traceback, with what to do."""
    rig.main.write_text(rig.main.read_text().replace(str(rig.state), "/proc/none"))
    done = CliRunner().invoke(lists_group, ["update", "--config", str(rig.main)], obj=rig.daemon)
    assert "start nodewarden once" in str(done.exception)
    assert read_state(state_path(rig.state, "own")).checked_s == 0.0
