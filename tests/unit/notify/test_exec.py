"""Commands: no shell, nothing of a message among the arguments, and nothing of them outlives its time."""

import json
import threading
import time
from pathlib import Path

import pytest

from monitor.notify.channel import Again, Refused
from monitor.notify.channels.exec import ExecChannel
from monitor.notify.sections.exec import ExecSettings
from tests.support.messages import HOSTILE, hostile, message, place


def channel(tmp_path: Path, *command: str, timeout_s: float = 20.0) -> ExecChannel:
    """Return a channel that runs a command."""
    return ExecChannel("run", ExecSettings(command=command, timeout_s=timeout_s), place(tmp_path))


def shell(tmp_path: Path, script: str, timeout_s: float = 20.0) -> ExecChannel:
    """Return a channel whose command is a script of the test."""
    return channel(tmp_path, "/bin/sh", "-c", script, "name", str(tmp_path), timeout_s=timeout_s)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_command_gets_the_message_on_its_standard_input(tmp_path: Path, text: str) -> None:
    """Whatever the message says, it is JSON of bounded size, and never an argument."""
    shell(tmp_path, 'printf %s "$#" > "$1/arguments"; cat > "$1/got"').send(hostile(text))
    got = (tmp_path / "got").read_bytes()
    assert json.loads(got)["count"] == 3
    assert len(got) < 40_000
    assert (tmp_path / "arguments").read_text() == "1"
    assert not Path("/tmp/owned").exists()


def test_a_command_gets_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the notifier's, which has credentials in it."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    channel(tmp_path, "/usr/bin/env").send(message())
    shell(tmp_path, '/usr/bin/env > "$1/env"; ls /proc/self/fd | wc -l > "$1/open"').send(message())
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}
    assert int((tmp_path / "open").read_text()) <= 4


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("exit 75", Again, "ends with 75"),
        ("exit 1", Refused, "ends with 1"),
        ("echo 'no \033[1mroom' >&2; exit 3", Refused, r"ends with 3: no \\x1b\[1mroom"),
        ("kill -KILL $$", Again, "killed by signal 9"),
        ("yes >&2 & sleep 0.05; exit 4", Refused, "ends with 4: y y"),
    ],
)
def test_what_the_end_of_a_command_means(tmp_path: Path, script: str, kind: type[Exception], text: str) -> None:
    """75 is EX_TEMPFAIL of sysexits.h; what it says on standard error is part of the fault, cut and printable."""
    with pytest.raises(kind, match=text) as caught:
        shell(tmp_path, script).send(message())
    assert len(str(caught.value)) < 300


def test_a_command_that_reads_nothing_and_writes_much_is_served(tmp_path: Path) -> None:
    """Neither a full pipe nor a closed one is a fault."""
    shell(tmp_path, "exec 0<&-; head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero").send(message())


@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; sleep 60 & wait", "yes", "yes >&2"])
def test_a_command_is_killed_with_all_that_it_started(tmp_path: Path, script: str) -> None:
    """When its time is over; nothing of its process group is left."""
    with pytest.raises(Again, match="took longer than 0"):
        shell(tmp_path, f'echo $$ > "$1/pid"; {script}', timeout_s=0.3).send(message())
    _gone(int((tmp_path / "pid").read_text()))


def test_what_a_command_leaves_running_is_killed(tmp_path: Path) -> None:
    """It ended well, and what stays in its group would hold its pipes."""
    shell(tmp_path, 'echo $$ > "$1/pid"; sleep 60 & exit 0').send(message())
    _gone(int((tmp_path / "pid").read_text()))


def test_closing_the_channel_kills_the_command(tmp_path: Path) -> None:
    """The notifier does not wait for it when it stops."""
    one = shell(tmp_path, 'echo $$ > "$1/pid"; sleep 60')

    def close_soon() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        one.close()

    closer = threading.Thread(target=close_soon)
    closer.start()
    with pytest.raises(Again, match="stops"):
        one.send(message())
    closer.join()
    _gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("program", ["/nowhere/program", "/dev/null", "/etc"])
def test_a_program_that_cannot_be_run_is_tried_again(tmp_path: Path, program: str) -> None:
    """It may be installed later; the messages wait."""
    with pytest.raises(Again, match="cannot be run"):
        channel(tmp_path, program).send(message())


def _gone(group: int) -> None:
    """Check that nothing of a process group runs any more; its zombies are for another process to reap."""
    for _ in range(500):
        if not any(_runs_in(group, path) for path in Path("/proc").glob("[0-9]*/stat")):
            return
        time.sleep(0.01)
    pytest.fail("a process of the group is alive")


def _runs_in(group: int, path: Path) -> bool:
    try:
        state, _, number = path.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(number) == group and state not in "ZX"
