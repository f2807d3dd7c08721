"""A node with every source at work, the daemon on it, and a piece of work for each part of the daemon."""

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from monitor.control.protocol import BanOrder, ListBans, Reload, Request, RequestedBan, Status, decode_reply, encode
from tests.support.daemon import Daemon, wait_for
from tests.support.firewall import logging_firewall
from tests.support.journald import Journald
from tests.support.lab import Host, Lab
from tests.zoo.packets import SYN, send, tcp

_PORTS = range(2000, 2024)
_FAILURES = 4
_SENTINELS = 16
_ANSWER_S, _ANSWER_IN_FAULT_S = 10.0, 1.0
_START_S = 90.0
_LOSSES = (
    "lost before they can be read",
    "is a flood",
    "batches were lost",
    "lines of the log were lost",
    "it is tried again, other work continues",
)
"""Parts of problems that stay for a minute or longer after the fault: what was lost stays lost."""


class Rig:
    """The node, attackers whose packets come from any address, a journal, and the daemon."""

    def __init__(self, node: Host, attacker: Host, journald: Journald, directory: Path) -> None:
        """Prepare everything; the daemon does not run yet."""
        self.node = node
        self._attacker = attacker
        self._journald = journald
        self._numbers = itertools.count(1)
        prefix = f"nwfault{os.getpid()}: "
        node.nft(logging_firewall(prefix))
        self._log = directory / "auth.log"
        self._log.touch()
        self.daemon = Daemon(node, directory, _configuration(prefix, self._log))
        self._socket = directory / "control.sock"
        self._wrapper = ("nsenter", "-t", str(journald.process.pid), "-m")
        self.sentinels = [f"203.0.113.{number}" for number in range(1, _SENTINELS + 1)]

    @classmethod
    @contextmanager
    def built(cls, directory: Path) -> Iterator[Self]:
        """Build the lab, run the daemon, and remove everything at the end."""
        journald = Journald(directory)
        try:
            with Lab("node", "attacker", label="faults") as lab:
                rig = cls(lab["node"], lab["attacker"], journald, directory)
                rig.start()
                yield rig
        finally:
            journald.end()

    def start(self) -> None:
        """Start the daemon, wait until all sources work, and ban the sentinels, which no fault may lose."""
        self.launch()
        wait_for(lambda: not self.troubles(), "all sources", lambda: f"{self.troubles()}\n{self.daemon.log}", _START_S)
        wait_for(lambda: self.order(*self.sentinels), "the first bans", lambda: self.daemon.log)

    def launch(self, *wrapper: str) -> None:
        """Start the daemon, through a wrapper if given, and do not wait."""
        self.daemon.launch(*self._wrapper, *wrapper)

    def stop(self) -> None:
        """Kill the daemon where it still runs."""
        assert self.daemon.process is not None
        self.daemon.process.kill()
        self.daemon.process.wait()

    def restart(self) -> None:
        """Kill the daemon where it still runs, and start another one, which finds the same state."""
        self.stop()
        self.start()

    @property
    def is_alive(self) -> bool:
        """Whether the daemon runs."""
        return self.daemon.process is not None and self.daemon.process.poll() is None

    def ask(self, request: Request, timeout_s: float = _ANSWER_S) -> Any:
        """Return the result of a request; None if the daemon does not answer it in time."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self._socket))
                connection.sendall(encode(request))
                with connection.makefile("rb") as replies:
                    reply = decode_reply(replies.readline())
        except (OSError, ValueError):
            return None
        return reply.result if reply.ok else None

    def order(self, *addresses: str) -> Any:
        """Order bans as an operator does; None if that failed."""
        return self.ask(BanOrder([RequestedBan(address, 86400.0, "test") for address in addresses]))

    def problems(self) -> list[str]:
        """Return what `nodewarden status` calls a problem or a notice; `no answer` if it does not answer soon."""
        status = self.ask(Status(), _ANSWER_IN_FAULT_S)
        return [*status["problems"], *status["notices"]] if status else ["no answer"]

    def troubles(self) -> list[str]:
        """Return what is not in order now, apart from what was lost earlier."""
        status = self.ask(Status())
        if status is None:
            return ["no answer"]
        down = [f"{one['name']}: {one['state']}" for one in status["sources"] if one["state"] != "up"]
        return down + [text for text in status["problems"] if not any(loss in text for loss in _LOSSES)]

    def banned(self, timeout_s: float = _ANSWER_S) -> set[str]:
        """Return what the daemon says is banned; empty if it does not answer."""
        page = self.ask(ListBans(), timeout_s)
        return {ban["network"] for ban in page["bans"]} if page else set()

    def in_kernel(self) -> str:
        """Return the text of the table."""
        return self.node.run("nft", "list", "table", "inet", "nodewarden", check=False).stdout

    def attacks(self) -> list[str]:
        """Attack once for each source of evidence; return the addresses, none of which was used before."""
        return [self._fail_in_file(), self._fail_in_journal(), self._scan()]

    def stir(self) -> None:
        """Change the node and the table, scrape and reload: whatever fails here is the fault's."""
        run = self.node.run
        run("ip", "address", "add", "192.0.2.77/32", "dev", "lo", check=False)
        run("nft", f"delete element inet nodewarden ban4 {{ {self.sentinels[0]} }}", check=False)
        run("ip", "address", "del", "192.0.2.77/32", "dev", "lo", check=False)
        run("curl", "-s", "-m", "1", "http://127.0.0.1:9843/metrics", check=False)
        self.ask(Reload(), _ANSWER_IN_FAULT_S)

    def _fresh(self) -> str:
        number = next(self._numbers)
        return f"198.18.{number // 250}.{number % 250 + 1}"

    def _fail_in_file(self) -> str:
        source = self._fresh()
        now = datetime.now().astimezone().strftime("%b %e %H:%M:%S")
        with self._log.open("a") as log:
            for port in range(40000, 40000 + _FAILURES):
                log.write(f"{now} node sshd[{port}]: Failed password for root from {source} port {port} ssh2\n")
        return source

    def _fail_in_journal(self) -> str:
        source = self._fresh()
        self._journald.send(*[f"Failed password for root from {source} port 4000 ssh2"] * _FAILURES)
        return source

    def _scan(self) -> str:
        source = self._fresh()
        send(self._attacker, [tcp((source, 40000), (self.node.address4, port), SYN) for port in _PORTS])
        return source


def _configuration(prefix: str, log: Path) -> str:
    failures = f"maxretry: {_FAILURES - 1}, evidence: proven"
    journal = "backend: journal, journalmatch: ['SYSLOG_IDENTIFIER=sshd']"
    return (
        f"sources: {{kernel_log: {{prefixes: ['{prefix}']}}}}\n"
        "bans: {budget: {bans_per_minute: 1000000}, xdp: {interfaces: [eth0]}}\n"
        "detectors:\n  port_scan: {maxretry: 12}\n  failures:\n    sshd: {enabled: false}\n"
        f"    by_file: {{filter: sshd, backend: files, files: ['{log}'], {failures}}}\n"
        f"    by_journal: {{filter: sshd, {journal}, {failures}}}\n"
    )
