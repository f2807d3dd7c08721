"""`nodewarden top` in a pseudo-terminal, against a real daemon."""

import fcntl
import os
import select
import shlex
import struct
import subprocess
import termios
import time

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel


class Terminal:
    """A pseudo-terminal of 80x24, as ssh gives one, with a program in it."""

    def __init__(self, command: str) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            shlex.split(command), stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        self.slave = slave
        self.output = ""

    def read_until(self, text: str, within_s: float = 30.0) -> None:
        """Read what the program draws until a text is among it."""
        deadline = time.monotonic() + within_s
        while text not in self.output:
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} is not among {self.output!r}")
            if select.select([self._master], [], [], 0.2)[0]:
                self.output += os.read(self._master, 65536).decode(errors="replace")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """End the program, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self.slave)


def test_a_source_is_seen_on_its_way_and_banned_by_hand(site: Site) -> None:
    """A scanner below the threshold is shown; `b` and `y` ban it; `q` leaves the terminal as it was."""
    site.daemon.start()
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-107", site.node.address4)
    wait_for(lambda: site.daemon.ask("top")["sources"], "somebody who is counted", lambda: site.daemon.log)
    terminal = Terminal(site.daemon.command("top"))
    try:
        terminal.read_until(site.attacker.address4)
        terminal.press("b")
        terminal.read_until("y: yes")
        terminal.press("y")
        wait_for(lambda: site.banned() == [site.attacker.address4], "the ban", lambda: site.daemon.log)
        terminal.press("q")
        terminal.read_until("\x1b[?1049l")
        assert terminal.process.wait(10) == 0
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()
