"""The cost of the XDP program, and the load that a node survives with it."""

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

from bench.packets import syn_frame
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.ebpf.xdp import XdpProgram
from monitor.model.addresses import Network, host, network_of, parse_address
from tests.support.bpf import run_once
from tests.support.lab import Host, Lab

_ROUNDS = 5
_BANS, _PREFIXES = 100_000, 1_000
_REPEAT = 1_000_000
_SECONDS = 2.0
_SETTLE_S = 0.5
_BANNED4, _FREE4 = parse_address("11.0.0.7"), parse_address("192.0.2.1")
_BANNED6, _FREE6 = parse_address("2001:db8:7::7"), parse_address("2001:db8:f::1")
_TARGET = {4: parse_address("10.0.0.1"), 16: parse_address("2001:db8::1")}
_LINK = bytes(6), bytes(6)
_RULES = {
    "raw": "type filter hook prerouting priority raw - 10; ip saddr @b counter name c drop;",
    "input": "type filter hook input priority filter; ip saddr @b counter name c drop;",
}
_ACK = 0x10
_FLAGS_AT = {4: 14 + 20 + 13, 16: 14 + 40 + 13}


@benchmark("xdp_drop_ns", "xdp_pass_ns", "xdp_pass_syn_ns", "xdp_drop6_ns", "xdp_pass6_ns")
def xdp_cost() -> Iterator[Figure]:
    """Run the program on frames by BPF_PROG_TEST_RUN, a million times, with 100,000 bans and 1,000 prefixes (ns).

    `xdp_drop_ns`: a packet of a banned source. `xdp_pass_ns`: a packet of an open connection. `xdp_pass_syn_ns`: a SYN,
    whose source is counted. `6`: the same over IPv6. Medians over rounds.
    """
    frames = {
        "xdp_drop_ns": _frame(_BANNED4),
        "xdp_pass_ns": _frame(_FREE4, _ACK),
        "xdp_pass_syn_ns": _frame(_FREE4),
        "xdp_drop6_ns": _frame(_BANNED6),
        "xdp_pass6_ns": _frame(_FREE6, _ACK),
    }
    results: dict[str, list[float]] = {name: [] for name in frames}
    with _filled() as program:
        for number in range(_ROUNDS):
            for name, frame in frames.items():
                verdict, nanoseconds = run_once(program.program, frame, _REPEAT)
                if verdict != (1 if "drop" in name else 2):
                    raise BenchmarkError(f"{name}: verdict {verdict}")
                results[name].append(nanoseconds)
            shown = ", ".join(f"{name} {values[-1]:.0f}" for name, values in results.items())
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
    for name, values in results.items():
        yield Figure(name, median(values), "ns")


@benchmark("xdp_survived_pps", "xdp_survived_nft_raw_pps", "xdp_survived_nft_input_pps")
def xdp_survived() -> Iterator[Figure]:
    """Flood a node over a veth pair from a banned source, and count the packets stopped by XDP and by nftables (1/s).

    The packets are dropped by the XDP program, by nftables before connection tracking (`nft_raw`, as in our table), and
    in input after it (`nft_input`, as in most rulesets). The peer of the first is the second. Sender and node share the
    machine, so only the ratio is meaningful. Medians over interleaved rounds of 2 s.
    """
    results: dict[str, list[float]] = {"xdp": [], "raw": [], "input": []}
    with Lab("node", "outside", label="bench") as lab, _direct(lab) as frame:
        node, outside = lab["node"], lab["outside"]
        for number in range(_ROUNDS):
            with _filled() as program, node.entered():
                program.attach("direct0")
                results["xdp"].append(_flood(outside, frame, partial(_stopped, program)))
            for name, rule in _RULES.items():
                node.nft(
                    "table inet w { counter c { }; set b { type ipv4_addr; elements = { 11.0.0.7 }; }; "
                    f"chain h {{ {rule} }}; }}"
                )
                results[name].append(_flood(outside, frame, lambda: _count(node)))
                node.run("nft", "delete", "table", "inet", "w")
            shown = ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in results.items())
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
    middle = {name: median(values) for name, values in results.items()}
    yield Figure.with_peer("xdp_survived_pps", middle["xdp"], "1/s", middle["raw"])
    yield Figure("xdp_survived_nft_raw_pps", middle["raw"], "1/s")
    yield Figure("xdp_survived_nft_input_pps", middle["input"], "1/s")


def _stopped(program: XdpProgram) -> int:
    return program.totals().get("ban4", (0, 0))[0]


@contextmanager
def _filled() -> Iterator[XdpProgram]:
    chance = random.Random(3)
    networks: set[Network] = {host(_BANNED4), host(_BANNED6)}
    while len(networks) < _BANS:
        networks.add(host(bytes((11, *chance.randbytes(3)))))
    while len(networks) < _BANS + _PREFIXES:
        networks.add(network_of(bytes((172, *chance.randbytes(3))), 24))
    now_s = time.time()
    with contextlib.closing(XdpProgram(max_bans=131_072, max_prefixes=16_384)) as program:
        program.put([(network, now_s + 3600) for network in networks], now_s)
        program.allow([Network(bytes((10, 0, 0, 0)), 8)])
        yield program


def _frame(source: bytes, flags: int | None = None) -> bytes:
    frame = bytearray(syn_frame(_LINK, source, _TARGET[len(source)], 80))
    if flags is not None:
        frame[_FLAGS_AT[len(source)]] = flags
    return bytes(frame)


@contextmanager
def _direct(lab: Lab) -> Iterator[str]:
    """Connect the hosts by a separate veth pair; yield the frame to send over it, in hex."""
    node, outside = lab["node"], lab["outside"]
    words = f"link add direct0 netns {node.namespace} type veth peer name direct0 netns {outside.namespace}"
    subprocess.run(["ip", *words.split()], check=True)
    for side, address in ((node, "10.9.0.1/24"), (outside, "10.9.0.2/24")):
        side.run("ip", "addr", "add", address, "dev", "direct0")
        side.run("ip", "link", "set", "direct0", "up")
    node.run("ethtool", "-K", "direct0", "gro", "on")
    node.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.direct0.rp_filter=0")
    shown = node.run("ip", "-o", "link", "show", "dev", "direct0").stdout.split()
    link = bytes.fromhex(shown[shown.index("link/ether") + 1].replace(":", "")), bytes(5) + b"\x02"
    yield syn_frame(link, _BANNED4, parse_address("10.9.0.1"), 80).hex()


def _flood(outside: Host, frame: str, count: Callable[[], int]) -> float:
    """Return how many packets per second were dropped, in the middle of the flood."""
    sender = outside.start(sys.executable, "-m", "bench.live_frames", "direct0", frame, str(_SECONDS + 4 * _SETTLE_S))
    before, deadline_s = count(), time.monotonic() + 10
    while count() == before:
        if time.monotonic() > deadline_s:
            raise BenchmarkError("no packet was dropped: check the sender")
        time.sleep(0.01)
    time.sleep(_SETTLE_S)
    first, from_s = count(), time.monotonic()
    time.sleep(_SECONDS)
    last, to_s = count(), time.monotonic()
    sender.wait(20)
    return (last - first) / (to_s - from_s)


def _count(node: Host) -> int:
    words = node.run("nft", "list", "counter", "inet", "w", "c").stdout.split()
    return int(words[words.index("packets") + 1])
