"""A scenario: traffic in a separate lab, behind a firewall whose log lines have a unique prefix."""

import errno
import os
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from tests.support.lab import Host, Lab

CORPUS = Path(__file__).parents[2] / "corpus"
NODE, ATTACKER, NEIGHBOUR = "node", "attacker", "neighbour"
NODE4, ATTACKER4, NEIGHBOUR4 = "10.88.0.1", "10.88.0.2", "10.88.0.3"
NODE6, ATTACKER6, NEIGHBOUR6 = "fd88::1", "fd88::2", "fd88::3"
MACS = {NODE: "02:00:00:00:00:01", ATTACKER: "02:00:00:00:00:02", NEIGHBOUR: "02:00:00:00:00:03"}

# A typical host firewall that drops and logs unknown packets. Port 80 is served.
_FIREWALL = """
table inet firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
    tcp dport 80 ct state new accept
    log prefix "PREFIX"
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    log prefix "PREFIX"
  }
}
"""


@dataclass(frozen=True)
class Material:
    """The minimum content for a scenario to be meaningful, counted for the source with the most of it."""

    lines: int
    ports: int = 1
    """Distinct (protocol, destination port) pairs of one source."""
    hosts: int = 1
    """Distinct destinations of one source."""


@dataclass(frozen=True)
class Scenario:
    """Traffic, how much of it must reach the log, and the alerts it must raise: (detector, address) pairs."""

    name: str
    traffic: Callable[[Lab], None]
    material: Material
    alerts: frozenset[tuple[str, str]] = frozenset()

    @property
    def folder(self) -> str:
        """The folder of its lines."""
        return "positive" if self.alerts else "negative"


def play(scenario: Scenario, prefix: str) -> None:
    """Run a scenario in a new lab; its firewall logs with this prefix."""
    with new_lab() as lab:
        lab[NODE].nft(_FIREWALL.replace("PREFIX", prefix))
        scenario.traffic(lab)


def new_lab() -> Lab:
    """Return the lab of the corpus; it has fixed link addresses after it is entered."""
    return _CorpusLab(NODE, ATTACKER, NEIGHBOUR, label="corpus")


class _CorpusLab(Lab):
    def __enter__(self) -> Self:
        super().__enter__()
        for host in self.hosts:
            host.run("ip", "link", "set", "eth0", "address", MACS[host.name])
        return self


def flush_connections(host: Host) -> None:
    """Delete every connection that this host tracks, as timeouts do."""
    # linux/netfilter/nfnetlink_conntrack.h: IPCTNL_MSG_CT_DELETE without attributes; flags REQUEST and ACK.
    length, message_type, flags = 20, 1 << 8 | 2, 1 | 4
    with host.entered(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
        netlink.send(struct.pack("=IHHIIBBH", length, message_type, flags, 1, 0, 0, 0, 0))
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if error:
        raise OSError(-error, f"cannot flush conntrack: {os.strerror(-error)}")


T_co = TypeVar("T_co", covariant=True)


class Log(Protocol[T_co]):
    """A reader of /dev/kmsg in batches that does not block."""

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        ...

    def read(self) -> Sequence[T_co]:
        """Return the pending records."""
        ...


class RawLog:
    """Raw records of /dev/kmsg from now on, unchanged; only those that `owns` matches."""

    def __init__(self, owns: re.Pattern[bytes]) -> None:
        self._owns = owns
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Close the log."""
        os.close(self._descriptor)

    def read(self) -> list[bytes]:
        """Return the first line of every pending record that is ours; records lost by an overrun are an error."""
        records: list[bytes] = []
        while True:
            try:
                record = os.read(self._descriptor, 16384).partition(b"\n")[0]
            except BlockingIOError:
                return records
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise RuntimeError("the kernel log overran its reader: the recording is incomplete") from error
                raise
            # Facility 0 is the kernel; other software may quote our prefix.
            if int(record.partition(b",")[0]) < 8 and self._owns.search(record):
                records.append(record)


class Follower(Generic[T_co]):
    """Reads a log during the traffic (the kernel's buffer fits only some hundred lines) until no new lines arrive."""

    QUIET_S = 0.05

    def __init__(self, log: Log[T_co]) -> None:
        self.taken: list[T_co] = []
        self._log = log
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name="kmsg-follower")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error and error is None:
            raise self._error

    def _follow(self) -> None:
        fed_s = time.monotonic()
        try:
            while not self._stop.is_set() or time.monotonic() - fed_s < self.QUIET_S:
                select.select([self._log], [], [], self.QUIET_S)
                batch = self._log.read()
                if batch:
                    self.taken += batch
                    fed_s = time.monotonic()
        except Exception as error:  # noqa: BLE001 - raised again by the thread that started this one
            self._error = error
