"""The real daemon in a host of the lab."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from monitor.cli.main import cli
from tests.support import stutter
from tests.support.lab import Host

_START_S = 60.0
"""On a machine that has never run it, all modules are compiled first."""
_ASKED_OFTEN = {("status",), ("list",), ("why",), ("history",), ("allow", "list")}
"""These only ask the daemon, many times a second, and most of a process's time would go into its imports."""
_ONE_AT_A_TIME = threading.Lock()
NODEWARDEN = Path(sys.executable).with_name("nodewarden")


class Daemon:
    """`nodewarden run` with its configuration, socket, state and log in one directory."""

    def __init__(self, host: Host, directory: Path, configuration: str = "") -> None:
        """Write the configuration: `configuration` is YAML for a file in conf.d; nothing runs yet."""
        self._host = host
        self._socket = directory / "control.sock"
        self.log_path = directory / "daemon.log"
        self.configuration_path = directory / "nodewarden.yaml"
        (directory / "conf.d").mkdir(parents=True, exist_ok=True)
        self.configuration_path.write_text(
            f"control: {{socket: {self._socket}}}\nstate: {{directory: {directory / 'state'}}}\n"
            "bans: {internal: {mode: enforce}}\n"  # the lab's attackers have private addresses
        )
        self.configure(configuration)
        self.options: tuple[str, ...] = ()
        """Arguments of `nodewarden run` in addition to its configuration."""
        self.process: subprocess.Popen[str] | None = None

    def configure(self, configuration: str) -> None:
        """Write the additional configuration; the daemon reads it at start or reload."""
        (self.configuration_path.parent / "conf.d/more.yaml").write_text(configuration)

    @property
    def log(self) -> str:
        """The content of the daemon's log."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        """The PID of the running daemon."""
        assert self.process is not None
        return self.process.pid

    def launch(self, *wrapper: str) -> subprocess.Popen[str]:
        """Start it, through a wrapper command if given, and do not wait."""
        with self.log_path.open("a") as log:
            self.process = self._host.start(
                *wrapper, NODEWARDEN, "run", "--config", self.configuration_path, *self.options, stderr=log
            )
        if stutter.WANTED:
            stutter.stutter(self.process)
        return self.process

    def start(self, *wrapper: str) -> None:
        """Start it, through a wrapper if given, and wait until it answers; RuntimeError with its log if it does not."""
        process = self.launch(*wrapper)
        wait_for(
            lambda: (self._socket.exists() and self._invoke("status")) or process.poll() is not None,
            "the daemon to answer",
            lambda: self.log,
            _START_S,
        )
        if process.poll() is not None:
            raise RuntimeError(f"the daemon exited with {process.returncode}\n{self.log}")

    def stop(self) -> int:
        """Stop it with SIGTERM; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(10)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        if {arguments[:1], arguments[:2]} & _ASKED_OFTEN and (answer := self._invoke(*arguments)) is not None:
            return answer
        return self._host.run(NODEWARDEN, "--socket", self._socket, *arguments, check=False)

    def ask(self, *arguments: str) -> Any:
        """Run a command that must succeed; return its JSON output."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _invoke(self, *arguments: str) -> subprocess.CompletedProcess[str] | None:
        return invoke(self._socket, *arguments)

    def command(self, *arguments: str) -> str:
        """Return the command line for running a command against it by hand."""
        words = ["ip netns exec", self._host.namespace, NODEWARDEN, "--socket", self._socket, *arguments]
        return " ".join(map(str, words))

    def metrics(self) -> dict[str, float]:
        """Return the series and values of /metrics at the default address."""
        text = self._host.run("curl", "-sf", "http://127.0.0.1:9843/metrics").stdout
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}


def invoke(socket: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run a command in this process against a socket; None if there is more to its end than an exit code."""
    with _ONE_AT_A_TIME:  # the runner replaces sys.stdout
        answer = CliRunner().invoke(cli, ["--socket", str(socket), *arguments])
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        return None
    return subprocess.CompletedProcess(arguments, answer.exit_code, answer.stdout, answer.stderr)


def wait_for(
    condition: Callable[[], Any], what: str, explain: Callable[[], str] = lambda: "", timeout_s: float = 30.0
) -> None:
    """Wait until a condition is true; RuntimeError with an explanation after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"timed out after {timeout_s:.0f} s waiting for {what}\n{explain()}")
        time.sleep(0.05)
