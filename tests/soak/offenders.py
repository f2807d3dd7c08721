"""The true offenders: each stays just below a threshold, waits, and then crosses it, so the time of its ban counts."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.offenders import Attacker
from monitor.detectors.port_scan import PortScanSettings
from monitor.model.addresses import Address, format_address, network_of, parse_address
from tests.soak.stage import OPEN_PORTS, SSH_LOG, WEB_LOG, Stage

_RETRIES = 5
_PORTS = PortScanSettings().maxretry


class Kind(msgspec.Struct, frozen=True):
    """One way to offend: `steps` are done by the offender one after the other; the last crosses the threshold."""

    name: str
    prefix: str
    """Where the offenders' addresses come from: `{}` is replaced by their number."""
    steps: Callable[[str], Sequence[Callable[[], object]]]

    def address(self, number: int) -> str:
        """Return the address of an offender."""
        return self.prefix.format(number + 1)


class Offender(msgspec.Struct):
    """One offender; `crossed_s` is CLOCK_MONOTONIC just before the last step."""

    kind: str
    address: str
    crossed_s: float = 0.0

    @property
    def element(self) -> Address:
        """The key of its ban in the kernel's sets: IPv6 is banned by /64."""
        packed = parse_address(self.address)
        return packed if len(packed) == 4 else network_of(packed, 64).address

    @property
    def network(self) -> str:
        """What is banned, as `nodewarden list` writes it."""
        return format_address(self.element) + ("/64" if ":" in self.address else "")


def kinds(stage: Stage, packets: Attacker) -> list[Kind]:
    """Return all kinds, on this stage; `packets` sends from there."""

    def scan(address: str, ports: range) -> list[Callable[[], object]]:
        frames = [packets.frame(parse_address(address), port) for port in ports]
        return [lambda frame=frame: packets.send(frame) for frame in frames]  # type: ignore[misc]

    def lines(path: Path, line: Callable[[str, int], str], address: str) -> list[Callable[[], object]]:
        return [lambda number=number: append(path, line(address, number)) for number in range(_RETRIES)]  # type: ignore[misc]

    logged = range(3000, 3000 + _PORTS)
    answered = OPEN_PORTS[:_PORTS]
    return [
        Kind("scan, logged by the firewall", "198.18.1.{}", lambda address: scan(address, logged)),
        Kind("scan over IPv6, logged", "2001:db8:1:{:x}::1", lambda address: scan(address, logged)),
        Kind("scan of closed ports (conntrack)", "198.18.2.{}", lambda address: scan(address, answered)),
        Kind("scan over IPv6 (conntrack)", "2001:db8:2:{:x}::1", lambda address: scan(address, answered)),
        Kind("ssh passwords", "198.18.3.{}", lambda address: lines(stage.directory / SSH_LOG, ssh_failure, address)),
        Kind("web scan", "198.18.4.{}", lambda address: lines(stage.directory / WEB_LOG, web_failure, address)),
    ]


def offend(kind: Kind, number: int, pause_s: float = 0.2) -> Offender:
    """Let an offender do everything; the last step after a pause."""
    address = kind.address(number)
    *before, last = kind.steps(address)
    for step in before:
        step()
    time.sleep(pause_s)
    offender = Offender(kind.name, address, time.monotonic())
    last()
    return offender


def append(path: Path, line: str) -> None:
    """Append a line by one system call, so that lines of several writers do not mix."""
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())


def ssh_failure(address: str, number: int) -> str:
    """Return what sshd writes of a wrong password."""
    now = datetime.now().astimezone().isoformat(timespec="microseconds")
    return f"{now} node sshd[{4000 + number}]: Failed password for root from {address} port {40000 + number} ssh2\n"


def web_failure(address: str, number: int) -> str:
    """Return what nginx writes of a request for a path that it does not have."""
    now = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S %z")
    return f'{address} - - [{now}] "GET /{number}/.env HTTP/1.1" 404 153 "-" "curl/8.0"\n'
