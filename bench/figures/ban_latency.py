"""How soon an offender is banned."""

import json
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from bench.packets import syn_frame
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.config.schema import PortScan
from monitor.model.addresses import format_address, network_of, parse_address
from tests.support.daemon import Daemon
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab

_ROUNDS = 3
_OFFENDERS = 200
_QUIET_S = 0.03
_TIMEOUT_S = 3.0
_MAXRETRY = PortScan().maxretry


@benchmark("ban_latency_p50_ms", "ban_latency_p99_ms")
def ban_latency() -> Iterator[Figure]:
    """From the packet that crosses the threshold to the offender in the kernel's set, end to end (milliseconds).

    The real daemon on a node of the lab reads the real /dev/kmsg; 200 offenders a round, IPv4 and IPv6 in turn, each
    with maxretry - 1 probes, then silence, then the packet that counts. The clock (CLOCK_MONOTONIC of one thread)
    starts just before that packet is sent and stops when the kernel's announcement of the new element arrives.
    Medians of each round's percentile. No peer: fail2ban has no filter for the kernel log.
    """
    prefix = f"nw-bench-{os.getpid()}: "
    rounds = []
    with Lab("node", "attacker", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        host = lab["node"]
        host.nft(logging_firewall(prefix))
        budget = "bans: {budget: {bans_per_minute: 1000000}}\n"  # the brake is not what is measured
        daemon = Daemon(host, Path(directory), counting_only(prefix) + budget)
        daemon.start()
        with SetWatch(host) as watch:
            attacker = Attacker(lab["attacker"], host)
            for number in range(_ROUNDS):
                rounds.append(_measure(attacker, watch, number))
                p50, p99 = _percentiles(rounds[-1])
                progress(f"round {number + 1}/{_ROUNDS}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max(rounds[-1]):.2f}")
    p50s, p99s = zip(*map(_percentiles, rounds), strict=True)
    yield Figure("ban_latency_p50_ms", median(p50s), "ms")
    yield Figure("ban_latency_p99_ms", median(p99s), "ms")


class Attacker:
    """Sends SYNs to the node in anybody's name."""

    def __init__(self, here: Host, target: Host) -> None:
        with here.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind(("eth0", 0))
        self._link = _mac(target), _mac(here)
        self._target = {4: parse_address(target.address4), 16: parse_address(target.address6)}

    def frame(self, source: bytes, port: int) -> bytes:
        """Make a probe of a port."""
        return syn_frame(self._link, source, self._target[len(source)], port)

    def send(self, frame: bytes) -> None:
        """Send it; the node has taken it in, and logged it, when this returns or soon after."""
        self._socket.send(frame)


def _measure(attacker: Attacker, watch: SetWatch, number: int) -> list[float]:
    """Return the latency of each offender of a round, in milliseconds."""
    random_source = random.Random(number)
    latencies = []
    for source in _offenders(number):
        ports = random_source.sample(range(1, 30_000), _MAXRETRY)
        frames = [attacker.frame(source, port) for port in ports]
        for frame in frames[:-1]:
            attacker.send(frame)
        element = _element(source)
        if watch.wait_for(element, _QUIET_S * random_source.uniform(1, 2)) is not None:
            raise BenchmarkError(f"{format_address(source)} was banned below the threshold")
        start_s = time.monotonic()
        attacker.send(frames[-1])
        end_s = watch.wait_for(element, _TIMEOUT_S)
        if end_s is None:
            raise BenchmarkError(f"{format_address(source)} was not banned within {_TIMEOUT_S} s")
        latencies.append((end_s - start_s) * 1e3)
    return latencies


def _offenders(number: int) -> Iterator[bytes]:
    """Yield addresses nobody else has, new ones each round (RFC 2544 and RFC 3849 ranges)."""
    for index in range(_OFFENDERS):
        yield parse_address(f"198.18.{number}.{index + 1}" if index % 2 else f"2001:db8:{number:x}:{index + 1:x}::1")


def _element(source: bytes) -> bytes:
    """Return where the element begins that bans a source: IPv6 is banned by /64."""
    return source if len(source) == 4 else network_of(source, 64).address


def _percentiles(latencies: list[float]) -> tuple[float, float]:
    cuts = quantiles(latencies, n=100, method="inclusive")
    return cuts[49], cuts[98]


def _mac(host: Host) -> bytes:
    (link,) = json.loads(host.run("ip", "-json", "link", "show", "dev", "eth0").stdout)
    return bytes.fromhex(link["address"].replace(":", ""))
