"""Peers that follow logs with failed logins at sshd, each on a host of the lab, all by one interface."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.peers import crowdsec, fail2ban, sshguard
from bench.peers.crowdsec import CrowdSec
from bench.peers.fail2ban_server import Fail2banServer
from bench.peers.sshguard import Sshguard
from bench.process import cpu_s, memory_mb
from bench.registry import BenchmarkError
from tests.support.lab import Host

NAMES = ("fail2ban", "crowdsec", "sshguard")
"""In the order of the table; the first one gives a figure's ratio."""
_QUIET_S = 3.0
_IDLE = 0.03
"""A polling server uses 1 % of a CPU while idle."""
_LEAST_S = 0.5e-6
"""No peer reads a line in less CPU time: it has not read them."""


class Server(Protocol):
    """A peer that is configured and may run."""

    def start(self) -> None:
        """Start it and wait until it is ready."""

    def pids(self) -> list[int]:
        """Return the ids of its processes."""

    def stop(self) -> None:
        """Stop it."""


_FETCH: dict[str, Callable[[], bool]] = {
    "fail2ban": fail2ban.fetch,
    "crowdsec": crowdsec.fetch,
    "sshguard": sshguard.fetch,
}


def available() -> tuple[str, ...]:
    """Unpack the packages; return the names of the peers that can run here. What is missing is reported."""
    return tuple(name for name in NAMES if _FETCH[name]())


@contextmanager
def running(name: str, host: Host, directory: Path, logs: Sequence[Path], *, bans: bool) -> Iterator[Server]:
    """Run a peer that reads these logs: it bans at the first failure, or counts and never bans.

    Afterwards the rules of the host, a namespace of the lab, are removed: CrowdSec's bouncer leaves its tables.
    """
    directory.mkdir(parents=True)
    server: Server
    if name == "fail2ban":
        server = Fail2banServer(host, directory, "sshd", logs=logs, maxretry=1 if bans else 0, backend="auto")
    elif name == "crowdsec":
        scenario = crowdsec.TRIGGER if bans else crowdsec.NEVER
        server = CrowdSec(host, directory / "home", logs, [scenario], has_bouncer=True)
    else:
        server = Sshguard(host, logs, sshguard.FIRST if bans else sshguard.NEVER)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        host.nft("flush ruleset")


def used_s(server: Server) -> float:
    """Return the CPU seconds that all its processes have used."""
    return sum(map(cpu_s, server.pids()))


def used_mb(server: Server, field: str) -> float:
    """Return the sum of `VmRSS` or `VmHWM` of its processes, in MB of 10^6 bytes."""
    return sum(memory_mb(pid, field) for pid in server.pids())


def read(server: Server, log: Path, lines: Sequence[str], timeout_s: float) -> tuple[float, float]:
    """Append lines to its log and wait until it has read them; return the CPU seconds and the sum of VmHWM in MB."""
    before_s = _settled_s(server, timeout_s)
    with log.open("a") as file:
        file.writelines(lines)
    took_s = _settled_s(server, timeout_s) - before_s
    if took_s < len(lines) * _LEAST_S:
        raise BenchmarkError(f"{took_s:.3f} s for {len(lines)} lines: it did not read them")
    if isinstance(server, Fail2banServer):
        server.check_read()
    return took_s, used_mb(server, "VmHWM")


def _settled_s(server: Server, timeout_s: float) -> float:
    """Wait until a server is idle for three seconds; return its CPU seconds."""
    deadline_s = time.monotonic() + timeout_s
    known_s = used_s(server)
    while time.monotonic() < deadline_s:
        time.sleep(_QUIET_S)
        now_s = used_s(server)
        if now_s - known_s < _QUIET_S * _IDLE:
            return now_s
        known_s = now_s
    raise BenchmarkError(f"it was still busy after {timeout_s:.0f} s")
