"""sshguard on a host of the lab: its parser alone, and the pipeline that its script makes of its programs."""

import os
import resource
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers import packages
from bench.registry import BenchmarkError
from tests.support.daemon import wait_for
from tests.support.lab import Host

_TIMEOUT_S = 120.0
_START_S = 10.0
_SETTLE_S = 1.0
"""The firewall's backend makes its tables, and tail seeks to the ends."""
_PROCESSES = 5
"""The shell and the four programs of the pipeline."""
NEVER = 1_000_000
"""A threshold that no attacker reaches."""
FIRST = 10
"""The threshold that the first attack reaches: most attacks score 10."""


def fetch() -> bool:
    """Unpack the package if it is missing; return whether it is available."""
    return packages.fetch("sshguard", "sshguard")


def parse_s(log: Path) -> tuple[float, int]:
    """Run its parser over a log; return the CPU seconds, its start included, and the number of attacks."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open() as file:
        done = subprocess.run(
            [_program("sshg-parser")], stdin=file, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchmarkError(f"sshg-parser failed: {done.stderr[-300:]!r}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.count(b"\n")


class Sshguard:
    """tail, parser, blocker and the backend for nftables, connected as by its script `sshguard`."""

    def __init__(self, host: Host, logs: Sequence[Path], threshold: int) -> None:
        """Nothing runs yet. `threshold`: the score from which on an address is blocked."""
        self._host = host
        tail = shlex.join(["tail", "-F", "-n", "0", *map(str, logs)])
        programs = [shlex.quote(str(_program(name))) for name in ("sshg-parser", "sshg-blocker", "sshg-fw-nft-sets")]
        parser, blocker, backend = programs
        self._line = f"{tail} | {parser} | {blocker} -a {threshold} -p 600 -s 1800 | {backend} & wait"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the pipeline in a process group of its own, and wait until it follows its logs."""
        self._process = self._host.start("setsid", "sh", "-c", self._line)
        wait_for(lambda: len(self.pids()) >= _PROCESSES, "sshguard to start", timeout_s=_START_S)
        time.sleep(_SETTLE_S)

    def pids(self) -> list[int]:
        """Return the ids of the running processes: the shell, its children and theirs."""
        assert self._process is not None
        found, waiting = [], [self._process.pid]
        while waiting:
            pid = waiting.pop()
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:  # it has ended
                continue
            found.append(pid)
        return found

    def stop(self) -> None:
        """End the pipeline, and wait until its programs have ended: the last one removes its tables."""
        if self._process and self._process.poll() is None:
            pids = self.pids()
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(_TIMEOUT_S)
            wait_for(lambda: not any(map(_runs, pids)), "sshguard to end", timeout_s=_TIMEOUT_S)
        self._process = None


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _program(name: str) -> Path:
    return packages.home("sshguard") / "usr/libexec/sshguard" / name
