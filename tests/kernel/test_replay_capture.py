"""A capture of an attack, and what connection tracking reported meanwhile, are the same evidence."""

import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.replay.engine import Replay
from monitor.daemon.replay.foreign.reading import ForeignFiles
from monitor.model.addresses import host, parse_address
from monitor.model.bans import AllowEntry
from monitor.model.flows import FlowBatch
from monitor.model.networks import NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import Events, Input, Started, Surrounded
from monitor.settings.schema import Settings
from monitor.sources.conntrack.handshakes import Handshakes
from monitor.sources.conntrack.reader import Conntrack
from tests.support.captures import START_S, pcap
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_TRACKING = "table inet watch { chain in { type filter hook input priority 0; ct state established accept; }; }"
_OPEN_PORT = 8080
_SO_TIMESTAMPNS = 35
_ALL_PACKETS = 0x0003


class _Tcpdump:
    """Captures what passes eth0 of a host."""

    def __init__(self, node: Host) -> None:
        with node.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PACKETS))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        with node.entered():
            self._socket.bind(("eth0", _ALL_PACKETS))
        self._socket.setblocking(False)

    def stop(self) -> list[tuple[float, bytes]]:
        """Return all frames with their times."""
        frames: list[tuple[float, bytes]] = []
        with self._socket:
            while True:
                try:
                    data, ancillary, _, _ = self._socket.recvmsg(65_536, 64)
                except BlockingIOError:
                    return frames
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                frames.append((seconds + nanoseconds / 1e9, data))


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Return a node that tracks connections, and a client."""
    with Lab("node", "client") as lab:
        lab["node"].nft(_TRACKING)
        yield lab


def _attack(lab: Lab) -> None:
    """Scan closed and open ports, half-open and by whole connections; ping, and talk as a client does."""
    node, client = lab["node"], lab["client"]
    with node.entered():
        server = socket.create_server((node.address4, _OPEN_PORT))
    scan = ("nmap", "-n", "-Pn", "-T5", "--max-retries", "0", "-p", f"1000-1029,{_OPEN_PORT}", node.address4)
    client.run(*scan[:3], "-sS", *scan[3:])
    client.run("nmap", "-n", "-Pn", "-6", "-sT", "-T5", "--max-retries", "0", "-p", "1000-1029", node.address6)
    client.run("hping3", "-q", "-S", "-c", "3", "-i", "u1000", "-p", "999", node.address4, check=False)
    client.run("ping", "-c", "1", node.address4)
    with client.entered():
        for _ in range(3):
            caller = socket.create_connection((node.address4, _OPEN_PORT), timeout=5)
            caller.sendall(b"hello")
            caller.close()
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagram.sendto(b"x", (node.address4, 53))
        datagram.close()
    server.close()


def _listens(peer: subprocess.Popen[Any]) -> bool:
    """Whether conntrack(8) has joined the groups of all its events: /proc/net/netlink shows their mask."""
    sockets = [line.split() for line in Path(f"/proc/{peer.pid}/net/netlink").read_text().splitlines()[1:]]
    return sum(one[1] == "12" and int(one[3], 16) & 7 == 7 for one in sockets) == 2  # and the source


def _told(flow: Any) -> tuple[Any, ...]:
    called = flow.source, flow.destination, flow.protocol, flow.destination_port
    return (*called, getattr(flow, "was_refused", None), getattr(flow, "was_answered", None))


def _content(inputs: list[Input], field: str) -> Counter[tuple[Any, ...]]:
    """Return what batches hold; packets between the hosts alone, since others pass as well (neighbour discovery)."""
    batches = [event for one in inputs if isinstance(one, Events) for event in one.events]
    return Counter(_told(flow) for batch in batches for flow in getattr(batch, field) if flow.protocol in (1, 6, 17))


def _verdicts(inputs: list[Input]) -> set[tuple[str, str, str, str]]:
    """Return who would be banned, by which detector, how strong."""
    engine = Replay(Settings())
    outcomes = [outcome for one in inputs for outcome in engine.feed(one)]
    return {(one.detector, str(one.network), one.strength, one.verdict) for one in outcomes if one.kind == "decision"}


def test_a_captured_attack_is_the_evidence_that_connection_tracking_reports(lab: Lab, tmp_path: Path) -> None:
    """The same connections and attempts, each with its outcome, and so the same bans; from conntrack(8), too."""
    node = lab["node"]
    with node.entered():
        source = Conntrack()
    printed = (tmp_path / "flows.xml").open("w+")
    peer = node.start("conntrack", "-E", "-o", "xml,timestamp,id", stdout=printed)
    wait_for(lambda: _listens(peer), "conntrack(8) to listen")
    tcpdump = _Tcpdump(node)
    started_s = time.time()
    _attack(lab)
    frames = tcpdump.stop()
    flows = source.read()
    while not source.is_drained:
        flows += source.read()
    source.close()
    peer.terminate()
    peer.wait(5)
    printed.close()

    handshakes, ended_s = Handshakes(), time.time()
    batches: list[FlowBatch] = [handshakes.feed(flows, ended_s), handshakes.feed((), ended_s + 3)]
    own = [AllowEntry(host(parse_address(one)), OWN_ADDRESS) for one in (node.address4, node.address6)]
    live: list[Input] = [Started(started_s, "node", "1"), Surrounded(started_s, own, NodeNetworks(), Sysctls())]
    live += [Events(batch.time_s, [batch]) for batch in batches]

    capture = tmp_path / "some.pcap"
    capture.write_bytes(pcap([(time_s - START_S, data) for time_s, data in frames]))
    hosts = [host(parse_address(one)) for one in (node.address4, node.address6)]
    captured = list(ForeignFiles([capture], Settings(), node=hosts).inputs())
    saved = list(ForeignFiles([tmp_path / "flows.xml"], Settings(), node=hosts).inputs())
    for field in ("opened", "completed", "incomplete"):
        expected = _content(live, field)
        assert expected
        assert _content(captured, field) == expected, field
        assert _content(saved, field) == expected, field
    verdicts = _verdicts(live)
    assert {one[:2] for one in verdicts} >= {("port_scan", lab["client"].address4)}
    assert _verdicts(captured) == verdicts
    assert _verdicts(saved) == verdicts
    guessed = ForeignFiles([capture], Settings())
    list(guessed.inputs())
    assert guessed.node_guess == f"taken for the node: {node.address4}, {node.address6}; name another with --node"
