"""A private journald for a test, in a mount namespace in which its journal is the system journal."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemon import wait_for

JOURNALD = Path("/lib/systemd/systemd-journald")
_SETTINGS = """[Journal]
Storage=auto
ReadKMsg=no
Audit=no
ForwardToWall=no
RateLimitBurst=0
"""
# A private journald: its /run is empty except for the directory of the journal, which belongs to the test.
_START = """
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/log/journal /run/systemd/journal
mount --bind "$1" /run/log/journal
mount --bind "$2" /etc/systemd/journald.conf
exec "$3"
"""
_SEND = """
import sys
from systemd import journal
for text in sys.argv[2:]:
    journal.send(text, **eval(sys.argv[1]))
print("sent", flush=True)
sys.stdin.read()
"""


class Journald:
    """A private journald; its mounts disappear with its process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "journal"
        self.directory.mkdir()
        settings = directory / "journald.conf"
        settings.write_text(_SETTINGS)
        self.process = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private", "sh", "-ec"),
                _START,
                "sh",
                self.directory,
                settings,
                JOURNALD,
            ],
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: list(self.files()), "journald to write its first entry")
        wait_for(self._is_listening, "journald to listen")

    def files(self) -> Iterator[Path]:
        """Return the files of the journal."""
        return self.directory.glob("*/*.journal")

    def _is_listening(self) -> bool:
        sockets = ("socket", "io.systemd.journal")
        return all(self._run("test", "-S", f"/run/systemd/journal/{name}").returncode == 0 for name in sockets)

    @property
    def _enter(self) -> list[str]:
        """The start of a command that sees the journal of this journald as the system journal."""
        return ["nsenter", "-t", str(self.process.pid), "-m"]

    def _run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*self._enter, *command], capture_output=True, check=False)

    def inside(self, script: str) -> subprocess.Popen[str]:
        """Start a Python script that sees the journal of this journald as the system journal."""
        return subprocess.Popen(
            [*self._enter, sys.executable, "-c", script],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )

    def make_persistent(self) -> None:
        """Let journald move its journal from /run to /var, which had none before."""
        assert self._run("mkdir", "/var/log/journal").returncode == 0
        self.process.send_signal(signal.SIGUSR1)

    def send(self, *messages: str, uid: int = 0, **fields: str) -> None:
        """Write entries by the native protocol, as an account.

        journald looks up in /proc who sent an entry only when it handles it, so the sender lives until it did: it
        answers a request to synchronize after everything that is queued.
        """
        account = ["setpriv", "--reuid", str(uid), "--clear-groups", "/usr/bin/python3", "-c", _SEND]
        sender = subprocess.Popen(
            [*self._enter, *account, repr({"SYSLOG_IDENTIFIER": "sshd"} | fields), *messages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with sender:
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"sent\n"
            synchronized = self._run("journalctl", "--sync")
            assert synchronized.returncode == 0, synchronized.stderr.decode()
        assert sender.returncode == 0

    def rotate(self) -> None:
        """Let journald archive its files and start new ones."""
        before = set(self.files())
        self.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: len(set(self.files()) - before) >= 1, "journald to rotate")

    def vacuum(self, left: int) -> None:
        """Delete all archived files except the newest ones."""
        subprocess.run(
            ["journalctl", "-q", "-D", next(self.files()).parent, f"--vacuum-files={left}"],
            capture_output=True,
            check=True,
        )

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(20)
