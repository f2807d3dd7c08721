"""Records the corpus of conntrack messages again: `python -m tests.support.record_conntrack [NAME ...]`. Needs root.

Each scenario plays real traffic through a host of a separate lab. The kernel's notifications are stored twice: the
datagrams as received (NAME.bin), and the output of `conntrack -E -o xml` for the same events (NAME.xml).
"""

import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.support.conntrack_traffic import SCENARIOS, Scenario
from tests.support.lab import Host, Lab

CORPUS = Path(__file__).parents[1] / "corpus" / "conntrack"
_GROUPS = 0x7  # NF_NETLINK_CONNTRACK_NEW, _UPDATE, _DESTROY
_NETLINK_NETFILTER = 12
_GET, _DUMP, _DONE = 0x101, 0x301, 3
_QUIET_S = 0.3
_RULES = "table inet tracked { chain watched { type filter hook prerouting priority 0; ct state invalid counter; }; }\n"


def main(names: list[str]) -> None:
    """Record the scenarios with these names, or all."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    for scenario in SCENARIOS:
        if not names or scenario.name in names:
            _record(scenario)


def _record(scenario: Scenario) -> None:
    with Lab("node", "client", "backend", label="ctrec") as lab:
        node = lab["node"]
        for name, value in scenario.settings.items():
            with node.entered():
                Path("/proc/sys/net", name).write_text(value)
        node.nft(_RULES + scenario.rules)
        if scenario.is_dump:
            scenario.traffic(lab)
            datagrams = _dump(node)
            told = node.run("conntrack", "-L", "-o", "xml,id").stdout
        else:
            datagrams, told = _follow(node, lambda: scenario.traffic(lab))
    (CORPUS / f"{scenario.name}.bin").write_bytes(b"".join(datagrams))
    (CORPUS / f"{scenario.name}.xml").write_text(told)
    print(
        f"{scenario.name:20}{len(datagrams):4} datagrams{sum(map(len, datagrams)):7} bytes{told.count('<flow'):4} told"
    )


def _socket(node: Host, groups: int) -> socket.socket:
    with node.entered():
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    opened.bind((0, groups))
    return opened


def _follow(node: Host, traffic: Callable[[], None]) -> tuple[list[bytes], str]:
    with _socket(node, _GROUPS) as events, tempfile.TemporaryFile("w+") as told:
        peer = node.start("conntrack", "-E", "-o", "xml,id", stdout=told)
        _wait_for_listener(peer, node)
        traffic()
        node.run("conntrack", "-F")
        datagrams = []
        while select.select([events], [], [], _QUIET_S)[0]:
            datagrams.append(events.recv(65536))
        peer.terminate()
        peer.wait(5)
        return datagrams, _read(told)


def _read(file: IO[str]) -> str:
    """Return the output, without the name of the process that deleted an entry."""
    file.seek(0)
    return re.sub(r"</flow> .*", "</flow>", file.read())


def _wait_for_listener(peer: subprocess.Popen[Any], node: Host) -> None:
    """Wait until the peer has joined the groups: /proc/net/netlink shows their mask."""
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s:
        sockets = [line.split() for line in Path(f"/proc/{peer.pid}/net/netlink").read_text().splitlines()[1:]]
        if (
            sum(f[1] == str(_NETLINK_NETFILTER) and int(f[3], 16) & _GROUPS == _GROUPS for f in sockets) == 2
        ):  # and ours
            return
        time.sleep(0.01)
    raise RuntimeError(f"{node.name}: conntrack -E did not start to listen")


def _dump(node: Host) -> list[bytes]:
    with _socket(node, 0) as asked:
        asked.send(struct.pack("=IHHII4x", 20, _GET, _DUMP, 77, 0))
        datagrams: list[bytes] = []
        while not datagrams or struct.unpack_from("=H", datagrams[-1], 4)[0] != _DONE:
            datagrams.append(asked.recv(65536))
        return datagrams


if __name__ == "__main__":
    if os.geteuid():
        raise SystemExit("recording needs root")
    main(sys.argv[1:])
