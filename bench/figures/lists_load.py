"""Block lists in the daemon: loading them, what a ban waits meanwhile, and what a packet costs then."""

import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.offenders import mac
from bench.packets import udp_frame
from bench.registry import Figure, benchmark, progress
from monitor.model.addresses import format_address, host, parse_address
from tests.support.lab import Host, Lab
from tests.support.lists import write_copy

_SMALL, _LARGE = 100_000, 1_000_000
_FRAMES, _ROUNDS = 20_000, 5
_LOAD = """
import asyncio, resource, sys, time
from pathlib import Path
from monitor.daemon.lists.keeper import ListKeeper
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.lists.settings import ListSet, ListSettings
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode
from monitor.settings.schema import Settings, State

def rss_mb():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

async def load():
    enforcer, took = NftablesEnforcer(max_bans=131072), []
    enforcer.setup([])
    section = ListSettings(file="/x", set=ListSet.BAN, mode=Mode.ENFORCE, max=1 << 20)
    settings = Settings(lists={"bench": section}, state=State(directory=Path(sys.argv[1])))
    keeper = ListKeeper(settings, lambda: [parse_network("127.0.0.0/8")])
    number = 0
    while keeper.lists["bench"].frame is None:
        if number == 500:
            idle, took = took, []
            before_mb, started_s = rss_mb(), time.monotonic()
            keeper.attach(asyncio.get_running_loop())
        due_s = time.monotonic() + 0.002
        await asyncio.sleep(0.002)
        number += 1
        network = parse_network(f"203.0.{number >> 8 & 255}.{number & 255}")
        enforcer.add([Ban(network, Strength.PROVEN, 0.0, 60.0, "bench", "")], 0.0)
        took.append(time.monotonic() - due_s)
    spent_s = time.monotonic() - started_s
    print(spent_s, rss_mb() - before_mb, *(1000 * sorted(some)[int(len(some) * 0.99)] for some in (took, idle)))
    keeper.close()
    enforcer.flush()
asyncio.run(load())
"""


@benchmark("lists_load_100k_s", "lists_load_1m_s", "lists_load_1m_rss_mb", "lists_load_ban_p99_ms", "lists_packet_ns")
def lists_load() -> Iterator[Figure]:
    """Bring a list of single addresses from its copy on disk into force, while a ban is added every two milliseconds.

    Wall time, and how much the process grows by a million. Peer: `nft -f` loads a set of the same addresses.
    `lists_load_ban_p99_ms`: from when a ban is due to when it is in the kernel, while a million are loaded. Peer: the
    same just before. `lists_packet_ns`: what it takes to send a frame through a raw socket and to drop it at the node,
    with a million listed addresses that it is none of. Peer: the same with one rule and one set of nft.
    """
    with Lab("node", "outside", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        node, frames = lab["node"], _Frames(lab["node"], lab["outside"])
        chance = random.Random(19)
        addresses = chance.sample(range(11 << 24, 100 << 24), _LARGE)
        small = _measured(node, Path(name), addresses[:_SMALL], frames)
        large = _measured(node, Path(name), addresses, frames)
    yield Figure.with_peer("lists_load_100k_s", small.spent_s, "s", small.peer_s)
    yield Figure.with_peer("lists_load_1m_s", large.spent_s, "s", large.peer_s)
    yield Figure("lists_load_1m_rss_mb", large.grown_mb, "MB")
    yield Figure.with_peer("lists_load_ban_p99_ms", large.waited_ms, "ms", large.idle_ms)
    yield Figure.with_peer("lists_packet_ns", large.packet_ns, "ns", large.peer_packet_ns)


class _Measured(NamedTuple):
    spent_s: float
    grown_mb: float
    waited_ms: float
    idle_ms: float
    packet_ns: float
    peer_s: float
    peer_packet_ns: float


def _measured(node: Host, directory: Path, addresses: list[int], frames: "_Frames") -> _Measured:
    packed = [number.to_bytes(4) for number in addresses]
    write_copy(directory, "bench", map(host, packed))
    node.nft("flush ruleset; table inet f { chain c { type filter hook prerouting priority -200; drop; }; }")
    spent_s, grown_mb, waited_ms, idle_ms = map(float, node.run(sys.executable, "-c", _LOAD, directory).stdout.split())
    packet_ns = frames.cost_ns()
    node.nft("delete table inet nodewarden_lists")
    rules = directory / "peer.nft"
    elements = ", ".join(map(format_address, packed))
    rules.write_text(
        "table inet peer { set listed { type ipv4_addr; elements = { " + elements + " }; }; chain c { type filter hook "
        "prerouting priority -309; ip saddr @listed counter drop; }; }"
    )
    started_s = time.monotonic()
    node.run("nft", "-f", rules)
    peer_s = time.monotonic() - started_s
    progress(f"{len(addresses):,} addresses: {spent_s:.2f} s, nft {peer_s:.2f} s; a ban waits {waited_ms:.1f} ms")
    return _Measured(spent_s, grown_mb, waited_ms, idle_ms, packet_ns, peer_s, frames.cost_ns())


class _Frames:
    """Frames from outside that the node drops."""

    def __init__(self, node: Host, outside: Host) -> None:
        link, target = (mac(node), mac(outside)), parse_address(node.address4)
        self._frames = [udp_frame(link, bytes([203, 1, *one.to_bytes(2)]), target, 9) for one in range(_FRAMES)]
        with outside.entered():
            self._sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._sender.bind(("eth0", 0))

    def cost_ns(self) -> float:
        """Return what a frame takes: the least of several rounds."""
        rounds = []
        for _ in range(_ROUNDS):
            started_ns = time.perf_counter_ns()
            for frame in self._frames:
                self._sender.send(frame)
            rounds.append((time.perf_counter_ns() - started_ns) / _FRAMES)
        return min(rounds)
