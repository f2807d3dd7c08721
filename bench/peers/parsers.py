"""What peers read logs of sshd with, alone: no bans, no network, and no following of a log that grows."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from bench.peers import fail2ban, sshguard
from bench.peers.crowdsec import CrowdSec
from tests.support.lab import Host

_NOTHING = Path("/dev/null")
_CROWDSEC_LINES, _CROWDSEC_START = 20_000, 100

Reader = Callable[[Path], float]
"""Reads a whole log; returns lines per CPU second, without the start of the program."""


def reader(peer: str, host: Host, directory: Path) -> Reader:
    """Return the reader of one of `servers.NAMES`; CrowdSec needs a host, and a directory for its configuration."""
    if peer == "fail2ban":
        return _fail2ban()
    return _crowdsec(CrowdSec(host, directory / peer), directory) if peer == "crowdsec" else _sshguard


def _fail2ban() -> Reader:
    start_s = fail2ban.run_regex(_NOTHING, "sshd").cpu_s

    def read(log: Path) -> float:
        done = fail2ban.run_regex(log, "sshd")
        return done.lines / (done.cpu_s - start_s)

    return read


def _crowdsec(installed: CrowdSec, directory: Path) -> Reader:
    """Of the first lines: it does not read an empty log, so its start is that of a few."""

    def read(log: Path) -> float:
        few, more = (_head(log, count, directory) for count in (_CROWDSEC_START, _CROWDSEC_LINES))
        return (_CROWDSEC_LINES - _CROWDSEC_START) / (installed.read_once_s(more) - installed.read_once_s(few))

    return read


def _sshguard(log: Path) -> float:
    lines = log.read_bytes().count(b"\n")
    return lines / (sshguard.parse_s(log)[0] - sshguard.parse_s(_NOTHING)[0])


def _head(log: Path, lines: int, directory: Path) -> Path:
    """Return a file with the first lines of a log."""
    path = directory / f"{log.stem}.{lines}"
    if not path.exists():
        with log.open() as source, path.open("w") as file:
            file.writelines(islice(source, lines))
    return path
