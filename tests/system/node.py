"""A machine on which nodewarden runs as its unit runs it, and what tests ask of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.support.machine import Machine

UNIT = "nodewarden.service"
_DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
# /dev/kmsg is the whole machine's: only lines with this prefix count, so no other test can be heard here
PREFIX = "nwsystem: "
_EVERYTHING = f"""
sources: {{kernel_log: {{prefixes: ["{PREFIX}"]}}}}
detectors:
  failures:
    sshd: {{backend: journal}}
    logs: {{filter: sshd, backend: files, files: [/var/log/auth.log]}}
"""


class Node(Machine):
    """The machine `node` of a lab with an attacker and a neighbour; every source is on and every ban enforced."""

    def __init__(self, lab: Lab, layers: Sequence[Path]) -> None:
        """Nothing is booted yet."""
        super().__init__(lab["node"], layers)
        self.attacker: Host = lab["attacker"]
        self.neighbour: Host = lab["neighbour"]

    def boot(self) -> None:
        """Boot; the first time, configure and start nodewarden, too."""
        super().boot()
        if self.path("/var/log/auth.log").exists():
            return
        self.write("/var/log/auth.log", "")
        self.look("chgrp", "adm", "/var/log/auth.log")
        self.look("chmod", "640", "/var/log/auth.log")
        self.path("/etc/nodewarden/conf.d/10-observe.yaml").unlink()
        self.configure()
        self.restart()

    def configure(self, more: str = "") -> None:
        """Write the configuration that every test needs, and more YAML in a file of its own."""
        self.write("/etc/nodewarden/conf.d/20-test.yaml", _EVERYTHING)
        self.write("/etc/nodewarden/conf.d/30-more.yaml", more)

    def drop_in(self, text: str) -> None:
        """Change the unit by a drop-in; empty text takes it away. It takes effect with the next start."""
        if text:
            self.write(_DROP_IN, text)
        else:
            self.path(_DROP_IN).unlink(missing_ok=True)
        self.look("systemctl", "daemon-reload")

    def restart(self) -> bool:
        """Restart the daemon; return whether it became ready."""
        return self.systemctl("restart", UNIT)

    def systemctl(self, *arguments: str) -> bool:
        """Run systemctl; return whether it worked."""
        self.look("systemctl", "reset-failed", UNIT, check=False)
        return self._ran("systemctl", *arguments)

    def _ran(self, *arguments: str) -> bool:
        return self.try_(*arguments).returncode == 0

    def ask(self, *arguments: str) -> Any:
        """Run a command of nodewarden that must succeed and read its JSON."""
        return json.loads(self.look("nodewarden", *arguments, "--json"))

    def banned(self) -> list[str]:
        """Return what is banned, in force."""
        return [ban["network"] for ban in self.ask("list")]

    def in_kernel(self, address: str) -> int:
        """Return how often the kernel's sets of bans hold an address."""
        lines = self.host.run("nft", "list", "table", "inet", "nodewarden", check=False).stdout.splitlines()
        return sum(f" {address} " in line and " timeout " in line for line in lines)

    def settled(self) -> dict[str, Any]:
        """Wait until all sources have come up or given up; return the status."""
        status: dict[str, Any] = {}

        def has_settled() -> bool:
            status.update(self.ask("status"))
            return all(source["state"] != "loading" for source in status["sources"])

        wait_for(has_settled, "the sources to settle", lambda: self.log(UNIT))
        return status
