"""The newcomer's machine: a fresh Debian with a checkout of nodewarden, and a stranger who scans and guesses passwords.

Packages of Debian's are installed beforehand, and pip finds its packages in a directory, since machines of the lab have
no network; everything else is as somebody finds it who has just cloned the repository.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from demo.transcript import GUESSER, NODE, SCAN, SCANNER, set_up_network
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.support.machine import Machine
from tests.support.root_image import RootImage, python_version
from tests.support.wheels import package_wheels

ROOT = Path(__file__).parents[2]
CHECKOUT = "/root/nodewarden"
_OBSERVE = "/etc/nodewarden/conf.d/10-observe.yaml"
_LOCAL = "/etc/nodewarden/conf.d/50-local.yaml"
# The ranges for documentation count as internal, of which sources are only observed.
_LAB = ("/etc/nodewarden/conf.d/40-lab.yaml", "bans: {internal: {mode: enforce}}\n")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECTORY = "/run/newcomer.directory"
_COMMAND_S = 900.0
_SETTLE_S = 60.0
_ENDLESS_S = 2
INTERRUPTED = 124
"""Exit code of a command that ran until it was interrupted (timeout(1))."""
_GUESSING_S = 90.0
_SSH = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=2")


class Site:
    """What the newcomer has in front of them."""

    def __init__(self, machine: Machine, stranger: Host, wheels: Path) -> None:
        """The machine is booted and has the checkout."""
        self.machine = machine
        self._stranger = stranger
        self._pip = (f"PIP_FIND_LINKS={wheels}", "PIP_NO_INDEX=1")
        self.directory = CHECKOUT

    def type(self, command: str, *, is_endless: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a line in a root shell without a terminal, in the directory where the line before left it."""
        environment = ("HOME=/root", f"PATH={_PATH}", "LANG=C.UTF-8", *self._pip)
        shell = ["bash", "-c", f"cd {self.directory}\n{command}\ncode=$?; pwd > {_DIRECTORY}; exit $code"]
        until = ["timeout", "--signal=INT", str(_ENDLESS_S)] if is_endless else []
        done = self.machine.try_("env", "-i", *environment, *until, *shell, input_text="", timeout_s=_COMMAND_S)
        if not is_endless:
            self.directory = self.machine.path(_DIRECTORY).read_text().strip()
        return done

    def settle(self) -> None:
        """Wait until the daemon, if it runs, has opened its sources or given them up, while somebody reads on."""
        if self.machine.look("systemctl", "is-active", "nodewarden", check=False).strip() == "active":
            wait_for(self._is_settled, "the sources to settle", self.log, _SETTLE_S)

    def _is_settled(self) -> bool:
        return "loading" not in self.machine.look("nodewarden", "status")

    def log(self) -> str:
        """The daemon's messages."""
        return self.machine.log("nodewarden")

    def configure(self, settings: str) -> subprocess.CompletedProcess[str]:
        """Put settings into the file for settings of one's own, check them, and have them loaded."""
        self.machine.write(_LOCAL, settings)
        done = self.type("nodewarden config check")
        return done if done.returncode else self.type("systemctl reload nodewarden")

    def play(self, scene: str) -> None:
        """Let something happen; the names are those of `demo.transcript`."""
        getattr(self, scene)()

    def enforce(self) -> None:
        """End observing."""
        self.machine.path(_OBSERVE).unlink(missing_ok=True)
        self.machine.look("nodewarden", "reload")

    def visit(self) -> None:
        """Scan ports from one address, and guess passwords from another, until both are noticed."""
        self.settle()
        self._stranger.run(*SCAN, "-p", "70-109", "-S", SCANNER, "-e", "eth0", NODE)
        wait_for(self._is_found_guessing, f"{GUESSER} in the list", self.log, _GUESSING_S)
        wait_for(partial(self._is_listed, SCANNER), f"{SCANNER} in the list", self.log)

    def _is_found_guessing(self) -> bool:
        """Guess once more. OpenSSH 9.8 and newer refuses such a source after some guesses, for fifteen seconds."""
        login = ("ssh", *_SSH, "-b", GUESSER, f"root@{NODE}", "true")
        self._stranger.run("sshpass", "-p", "wrong", *login, check=False)
        return self._is_listed(GUESSER)

    def knock(self) -> None:
        """Send a few more packets from the banned address."""
        self._stranger.run(*SCAN, "-p", "22,80", "-S", GUESSER, "-e", "eth0", NODE)

    def _is_listed(self, source: str) -> bool:
        return source in self.machine.look("nodewarden", "list", "--observed")


@contextmanager
def site(suite: str) -> Iterator[Site]:
    """Boot a machine of a release of Debian, with a checkout."""
    image = RootImage(suite=suite).path()
    wheels = package_wheels(python_version(image))
    with Lab("node", "stranger", label=f"new-{suite}") as lab:
        set_up_network(lab["node"], lab["stranger"])
        with Machine(lab["node"], [image], binds=[wheels]) as machine:
            check_out(machine.path(CHECKOUT))
            machine.write(*_LAB)
            yield Site(machine, lab["stranger"], wheels)


def check_out(directory: Path) -> None:
    """Copy what a clone of the repository has: all tracked files, as they are here."""
    names = subprocess.check_output(["git", "-C", ROOT, "ls-files", "-z"], text=True).rstrip("\0").split("\0")
    for name in names:
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name, follow_symlinks=False)
