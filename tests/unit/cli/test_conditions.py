"""Every command under every condition that a shell, a script or a sick daemon gives it: an exit code, no traceback.

Each case runs the command line in a forked process, where it may close descriptors and change its user.
"""

import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from manual.pages import commands
from monitor.cli import entry
from monitor.cli import main as command_line
from monitor.cli.target import Target
from monitor.control import client
from tests.unit.cli.test_escapes import NET, Peer

_ARGUMENTS: dict[str, list[str]] = {
    "ban": [NET], "unban": [NET], "why": [NET], "allow add": [NET], "allow remove": [NET], "allow test": [NET],
    "import": ["/dev/null"], "filter test": ["sshd", "/dev/null"], "filter show": ["sshd"],
    "apply": ["--status"],
    "run": ["--config", "/nonexistent/file"], "drops": ["--help"], "fail2ban import": ["/nonexistent/directory"],
    "record export": ["-"], "record import": ["/dev/null"],
}  # fmt: skip
"""What each command needs; `drops` would load a program into the kernel, so only its help is tried."""
COMMANDS = {
    " ".join(words): [*words, *_ARGUMENTS.get(" ".join(words), [])] for words, _ in commands(command_line.cli, ())
}
_ASKING = {
    "status", "doctor", "list", "ban", "unban", "why", "events", "history", "report", "allow list", "allow add",
    "allow remove", "allow test", "flush", "export", "reload", "record start", "record stop", "apply",
}  # fmt: skip
"""Commands that always ask the daemon."""
_WITHOUT_DAEMON = {"doctor", "flush"}
"""Those of them that work without it: `doctor` checks itself, `flush` removes the table."""
_PRINTING = [name for name in COMMANDS if name != "run"]
_NOBODY = 65_534


class Outcome:
    """What a run of the command line left."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code, self.output, self.errors = code, output, errors
        assert "Traceback" not in errors, errors
        assert code in range(5), (code, errors)


def _run(directory: Path, arguments: list[str], prepare: Callable[[], object] = lambda: None) -> Outcome:
    """Run the command line in a process of its own, after `prepare` in there."""
    paths = [directory / "output", directory / "errors"]
    pid = os.fork()
    if pid == 0:
        _be_the_command(arguments, paths, prepare)
    _, status = os.waitpid(pid, 0)
    return Outcome(os.waitstatus_to_exitcode(status), *(path.read_text(errors="replace") for path in paths))


def _be_the_command(arguments: list[str], paths: list[Path], prepare: Callable[[], object]) -> NoReturn:
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number, path in enumerate(paths, 1):
            os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666), number)
        sys.argv = ["nodewarden", *arguments]
        os.environ["NODEWARDEN_SOCKET"] = str(paths[0].with_name("socket"))
        prepare()
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        entry.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 98
    except BaseException:  # noqa: BLE001 - shown, and the test fails
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _answer() -> None:
    """Let a peer answer in the daemon's place."""
    peer = Peer("text")
    setattr(Target, "ask", lambda _, request: peer.ask(request))  # noqa: B010
    setattr(Target, "read_history", lambda _, request, path: peer.read_history(request, path))  # noqa: B010


def _close_pipe() -> None:
    """Have standard output lead to a reader that is gone."""
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(reading)
    _answer()


def _fill_disk() -> None:
    """Have standard output lead to a full disk."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    _answer()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Path]:
    """Return a directory whose socket accepts connections and never answers, as that of a stopped daemon does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(8)
        yield tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_daemon(tmp_path: Path, name: str) -> None:
    """What asks the daemon says that it cannot be reached, and how to start it."""
    if name == "flush":
        pytest.skip("removes the table of this network namespace: see tests/kernel/test_daemon_state.py")
    outcome = _run(tmp_path, COMMANDS[name])
    if name in _ASKING - _WITHOUT_DAEMON:
        assert outcome.code == 3
        assert "systemctl start nodewarden" in outcome.errors


@pytest.mark.parametrize("name", sorted(_ASKING))
def test_with_a_stopped_daemon(stopped: Path, name: str) -> None:
    """Every command gives up after its time-out, and says what it found."""

    def hurry() -> None:
        client._STATUS_TIMEOUT_S = client._TIMEOUT_S = client._ORDER_TIMEOUT_S = 0.05
        if name == "flush":
            os.setresuid(_NOBODY, _NOBODY, _NOBODY) if os.geteuid() == 0 else None

    (stopped / "socket").chmod(0o777)
    stopped.chmod(0o777)
    outcome = _run(stopped, COMMANDS[name], hurry)
    if name not in _WITHOUT_DAEMON:
        assert outcome.code == 3
        assert "stuck" in outcome.errors


def test_status_waits_three_seconds() -> None:
    """Monitoring asks again and again."""
    assert client._STATUS_TIMEOUT_S == 3.0


@pytest.mark.parametrize("name", sorted(_ASKING))
def test_as_another_user(stopped: Path, name: str) -> None:
    """A user that may not use the socket reads just that: no check and no removal with other rights."""

    def drop() -> None:
        if os.geteuid() == 0:
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)

    (stopped / "socket").chmod(0)
    for directory in [stopped, *stopped.parents][:4]:
        if os.geteuid() == 0 and directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    outcome = _run(stopped, COMMANDS[name], drop)
    assert outcome.code == 3
    assert "not allowed to open" in outcome.errors
    assert outcome.output == ""


@pytest.mark.parametrize("name", _PRINTING)
def test_the_reader_is_gone(tmp_path: Path, name: str) -> None:
    """`nodewarden status | head -1` succeeds, and says nothing."""
    outcome = _run(tmp_path, COMMANDS[name], _close_pipe)
    if name in {"status", "list", "history", "report", "export", "allow list", "events"}:
        assert (outcome.code, outcome.errors) == (0, "")


@pytest.mark.parametrize("name", _PRINTING)
def test_the_disk_is_full(tmp_path: Path, name: str) -> None:
    """A lost answer is a failure."""
    outcome = _run(tmp_path, COMMANDS[name], _fill_disk)
    if name in {"status", "list", "history", "report", "export", "allow list", "events"}:
        assert outcome.code == 1
        assert "No space left" in outcome.errors


def test_standard_output_is_closed(tmp_path: Path) -> None:
    """A command that is started without descriptors (`>&- 2>&-`) does its work, and writes in no file that it opens."""
    run = "import sys; from monitor.cli.entry import main; sys.argv[0] = 'nodewarden'; main()"
    for closed in (">&-", ">&- 2>&- <&-"):
        shell = f'exec "$0" -P -c "$1" filter list {closed}'
        done = subprocess.run(
            ["/bin/sh", "-c", shell, sys.executable, run], capture_output=True, cwd=tmp_path, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", COMMANDS)
def test_bytes_that_are_no_text(tmp_path: Path, name: str) -> None:
    """Where a command takes arguments, one that is not UTF-8 is an error of usage, or names nothing."""
    hostile = os.fsdecode(b"\xff\x1b[2J")
    outcome = _run(tmp_path, [*COMMANDS[name], hostile])
    assert outcome.code != 0 or name == "drops"
    assert "\x1b" not in outcome.errors
    if name in ("ban", "unban", "allow add"):
        assert outcome.code == 2
        assert "not UTF-8" in outcome.errors


@pytest.mark.parametrize("option", ["--reason", "--detector", "--within", "--source"])
def test_options_that_are_no_text(tmp_path: Path, option: str) -> None:
    """As `--reason $'\\377'`."""
    command = {"--reason": ["ban", NET], "--source": ["history"]}.get(option, ["list"])
    outcome = _run(tmp_path, [*command, option, os.fsdecode(b"\xff")])
    assert outcome.code == 2
    assert "not UTF-8" in outcome.errors


@pytest.mark.parametrize("name", _PRINTING)
@pytest.mark.parametrize("value", ["", "1"])
def test_no_color(tmp_path: Path, name: str, value: str) -> None:
    """With NO_COLOR, not even a terminal gets colours (https://no-color.org)."""

    def be_a_terminal() -> None:
        os.environ["NO_COLOR"] = value
        os.environ["TERM"] = "xterm-256color"
        setattr(click.utils, "should_strip_ansi", lambda _stream, color=None: color is False)  # noqa: B010
        _answer()

    outcome = _run(tmp_path, COMMANDS[name], be_a_terminal)
    coloured = "\x1b[" in outcome.output + outcome.errors
    assert not (coloured and value)
    if name == "status":
        assert coloured is not bool(value)


@pytest.mark.parametrize(
    ("typed", "meant"), [("stauts", "status"), ("unbann", "unban"), ("lsit", "list"), ("hist", "history")]
)
def test_a_mistyped_command_has_a_suggestion(tmp_path: Path, typed: str, meant: str) -> None:
    """An error of usage that names what is similar."""
    outcome = _run(tmp_path, [typed])
    assert outcome.code == 2
    assert f"'{meant}'" in outcome.errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["drops", "--for", "0"], ["drops", "--for", "0s"], ["ban", NET, "--for", "soon"],
        ["history", "--since", "soon"], ["history", "--limit", "0"], ["list", "--set", "none"], ["ban"],
        ["ban", NET, "--shun", "--egress"], ["unban"],
        ["config", "check", "--config", "/nonexistent"], ["nonsense"], ["status", "--nonsense"],
    ],
)  # fmt: skip
def test_usage_and_configuration_are_code_2(tmp_path: Path, arguments: list[str]) -> None:
    """As documented."""
    assert _run(tmp_path, arguments).code == 2


def test_a_file_that_is_no_text_is_imported_line_by_line(tmp_path: Path) -> None:
    """A comment in another encoding costs nothing; a line that is no address is refused, escaped."""
    file = tmp_path / "list"
    file.write_bytes(b"192.0.2.1 # caf\xe9\n\xff\x1b[2J\n")
    sent: list[Any] = []

    def answer() -> None:
        def ask(_: Target, order: Any) -> list[dict[str, Any]]:
            sent.extend(order.bans)
            return [{"network": one.network, "done": one.network == NET, "text": "no address"} for one in order.bans]

        setattr(Target, "ask", ask)  # noqa: B010

    outcome = _run(tmp_path, ["import", str(file)], answer)
    assert outcome.code == 1
    assert outcome.output == "1 banned, 1 refused\n"
    assert outcome.errors == "\\xff\\x1b[2J: no address\n"


def test_a_full_log_does_not_change_what_systemd_learns(tmp_path: Path) -> None:
    """A configuration error is not tried again, also where its message cannot be written."""
    code = "import sys; from monitor.cli.entry import main; main()"
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", code, "run", "--config", str(tmp_path / "missing")]
        done = subprocess.run(command, stdout=full, stderr=full, check=False)
    assert done.returncode == entry.EXIT_CONFIG
