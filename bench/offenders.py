"""Sends offending packets from one source at a time, and measures the latency of each ban."""

import json
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from bench.packets import syn_frame
from bench.registry import BenchmarkError
from bench.set_watch import SetWatch
from monitor.detectors.port_scan import PortScanSettings
from monitor.model.addresses import format_address, network_of, parse_address
from tests.support.daemon import Daemon
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab

OFFENDERS = 200
_QUIET_S = 0.03
_TIMEOUT_S = 3.0
_MAXRETRY = PortScanSettings().maxretry


class Attacker:
    """Sends SYN packets to the node from any forged source."""

    def __init__(self, here: Host, target: Host) -> None:
        with here.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind(("eth0", 0))
        self._link = mac(target), mac(here)
        self._target = {4: parse_address(target.address4), 16: parse_address(target.address6)}

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def frame(self, source: bytes, port: int) -> bytes:
        """Return a probe of a port."""
        return syn_frame(self._link, source, self._target[len(source)], port)

    def send(self, frame: bytes) -> None:
        """Send a frame; the node has received and logged it when this returns or soon after."""
        self._socket.send(frame)


def measure(attacker: Attacker, watch: SetWatch, number: int, offenders: int = OFFENDERS) -> list[float]:
    """Return the latency of each offender of a round, in milliseconds."""
    random_source = random.Random(number)
    latencies = []
    for source in _offenders(number, offenders):
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


def _offenders(number: int, count: int) -> Iterator[bytes]:
    """Yield unused addresses, new ones for each round (RFC 2544 and RFC 3849 ranges)."""
    for index in range(count):
        yield parse_address(f"198.18.{number}.{index + 1}" if index % 2 else f"2001:db8:{number:x}:{index + 1:x}::1")


def _element(source: bytes) -> bytes:
    """Return the start of the element that bans a source: IPv6 is banned by /64."""
    return source if len(source) == 4 else network_of(source, 64).address


def percentiles(latencies: list[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    cuts = quantiles(latencies, n=100, method="inclusive")
    return cuts[49], cuts[98]


def mac(host: Host) -> bytes:
    """Return the link address of eth0."""
    (link,) = json.loads(host.run("ip", "-json", "link", "show", "dev", "eth0").stdout)
    return bytes.fromhex(link["address"].replace(":", ""))


@contextmanager
def attacked_node() -> Iterator[tuple[Daemon, Attacker, SetWatch]]:
    """Yield a daemon that runs on a node of its own, with an attacker, and what watches the kernel's sets."""
    prefix = f"nw-bench-{os.getpid()}: "
    with Lab("node", "attacker", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        host = lab["node"]
        host.nft(logging_firewall(prefix))
        budget = "bans: {budget: {bans_per_minute: 1000000}}\n"  # the ban budget must not limit the measurement
        daemon = Daemon(host, Path(directory), counting_only(prefix) + budget)
        daemon.start()
        with SetWatch(host) as watch:
            yield daemon, Attacker(lab["attacker"], host), watch
