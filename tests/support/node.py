"""A machine on which nodewarden runs as its systemd unit, with functions for tests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.daemon import invoke, wait_for
from tests.support.lab import Host, Lab
from tests.support.machine import Machine

UNIT = "nodewarden.service"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
_SOCKET = "/run/nodewarden/control.sock"
_DROP_IN = f"{DROP_INS}/00-test.conf"
# /dev/kmsg is that of the whole machine: only lines with this prefix count, so that other tests do not interfere
PREFIX = "nwsystem: "
_EVERYTHING = f"""
sources: {{kernel_log: {{prefixes: ["{PREFIX}"]}}}}
detectors:
  failures:
    sshd: {{backend: journal}}
    logs: {{filter: sshd, backend: files, files: [/var/log/auth.log], evidence: proven}}
bans: {{internal: {{mode: enforce}}}}
"""


_NETWORK_UNIT = """[Unit]
DefaultDependencies=no
After=network-pre.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set eth0 up

[Install]
WantedBy=multi-user.target
"""


class Node(Machine):
    """The machine `node` of a lab with an attacker and a neighbour; all sources are enabled, all bans enforced.

    After a reboot its interface comes up as on a real machine: after the units that are ordered before the network.
    """

    def __init__(self, lab: Lab, layers: Sequence[Path]) -> None:
        """Nothing is booted yet."""
        super().__init__(lab["node"], layers)
        self.attacker: Host = lab["attacker"]
        self.neighbour: Host = lab["neighbour"]
        self.when_off: Callable[[], None] = lambda: None
        """Called after a reboot has reset everything, before the machine boots."""

    def __enter__(self) -> Self:
        """Boot, configure and start the daemon."""
        super().__enter__()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        return self

    def _prepare(self) -> None:
        self.write("/etc/systemd/system/lab-network.service", _NETWORK_UNIT)
        self.look("systemctl", "enable", "--quiet", "lab-network.service")
        self.write("/var/log/auth.log", "")
        self.look("chgrp", "adm", "/var/log/auth.log")
        self.look("chmod", "640", "/var/log/auth.log")
        self.path("/etc/nodewarden/conf.d/10-observe.yaml").unlink()
        self.configure()
        if not self.restart():
            raise RuntimeError(f"nodewarden does not start: {self.log(UNIT)}")
        self.settled()

    def switched_off(self) -> None:
        """Set the interface down, in addition to the normal reset."""
        super().switched_off()
        self.host.run("ip", "link", "set", "eth0", "down")
        self.when_off()

    def configure(self, more: str = "") -> None:
        """Write the configuration for all tests, and more YAML in a separate file."""
        self.write("/etc/nodewarden/conf.d/20-test.yaml", _EVERYTHING)
        self.write("/etc/nodewarden/conf.d/30-more.yaml", more)

    def drop_in(self, text: str) -> None:
        """Change the unit by a drop-in; empty text removes it. It takes effect with the next start."""
        if text:
            self.write(_DROP_IN, text)
        else:
            self.path(_DROP_IN).unlink(missing_ok=True)
        self.look("systemctl", "daemon-reload")

    def restart(self) -> bool:
        """Restart the daemon; return whether it became ready."""
        return self.systemctl("restart", UNIT)

    def systemctl(self, *arguments: str) -> bool:
        """Run systemctl; return whether it succeeded."""
        self.look("systemctl", "reset-failed", UNIT, check=False)
        return self.try_("systemctl", *arguments).returncode == 0

    def answers(self) -> bool:
        """Whether the daemon answers."""
        done = invoke(self.path(_SOCKET), "status")
        return done is not None and done.returncode == 0

    def await_answer(self) -> None:
        """Wait until the daemon answers."""
        wait_for(self.answers, "the daemon to answer", lambda: self.log(UNIT), timeout_s=20)

    def ask(self, *arguments: str) -> Any:
        """Run a command of nodewarden that must succeed; return its JSON output.

        It runs in this process: waiting asks many times a second, and most of a process's time goes into imports.
        """
        done = invoke(self.path(_SOCKET), *arguments, "--json")
        if done is None or done.returncode:
            return json.loads(self.look("nodewarden", *arguments, "--json"))
        return json.loads(done.stdout)

    def banned(self) -> list[str]:
        """Return the banned networks."""
        return [ban["network"] for ban in self.ask("list")]

    def in_kernel(self, address: str) -> int:
        """Return how often an address is in the kernel's ban sets."""
        lines = self.host.run("nft", "list", "table", "inet", "nodewarden", check=False).stdout.splitlines()
        return sum(f" {address} " in line and " timeout " in line for line in lines)

    def settled(self) -> dict[str, Any]:
        """Wait until all sources are up or have failed; return the status."""
        status: dict[str, Any] = {}

        def has_settled() -> bool:
            status.update(self.ask("status"))
            return all(source["state"] != "loading" for source in status["sources"])

        wait_for(has_settled, "the sources to settle", lambda: self.log(UNIT))
        return status
