"""What notifications cost a ban, and what becomes of the messages of a burst."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.offenders import percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.model.addresses import parse_address
from tests.support.daemon import NODEWARDEN, Daemon, wait_for
from tests.support.lab import Host, Lab

_ROUNDS = 4
_OFFENDERS = 150
_FOLLOWED = (2 * _ROUNDS - 1) * _OFFENDERS
"""The bans of all rounds but the first, which was before a notifier ever ran."""
_BURST = 10_000
_BURST_S = 60.0
_TIMEOUT_S = 5.0
_WORKS, _SLOW, _DEAD = 8099, 8098, 9
_FILTER = 'description: Ours.\nfailregex: ["refused <F-USER>\\\\S+</F-USER> from <HOST>$"]\n'
_CONFIGURATION = """bans: {{budget: {{bans_per_minute: 1000000}}}}
detectors:
  failures:
    sshd: {{enabled: false}}
    files: {{filter: {filter}, backend: files, files: ['{log}'], maxretry: 1}}
notify:
  digest_every: 10s
  max_per_hour: 10000
  webhook:
    works: {{url: "http://127.0.0.1:{works}/", events: [ban]}}
    slow: {{url: "http://127.0.0.1:{slow}/", timeout: 60s}}
    dead: {{url: "http://127.0.0.1:{dead}/"}}
"""


class _Node:
    """A daemon whose offenders are lines of a log, and a notifier with channels that work, are slow and are dead."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self.directory = host, directory
        self.log = directory / "app.log"
        self.log.touch(mode=0o600)
        (directory / "ours.yaml").write_text(_FILTER)
        settings = _CONFIGURATION.format(
            filter=directory / "ours.yaml", log=self.log, works=_WORKS, slow=_SLOW, dead=_DEAD
        )
        self.daemon = Daemon(host, directory / "daemon", settings)
        self.state = directory / "daemon/state/notify/state.json"
        self._notifier: subprocess.Popen[str] | None = None

    def attack(self, *addresses: str) -> float:
        """Have the log name offenders; return the time just before (CLOCK_MONOTONIC)."""
        with self.log.open("ab", buffering=0) as file:
            start_s = time.monotonic()
            file.write("".join(f"refused root from {address}\n" for address in addresses).encode())
            return start_s

    def start_notifier(self) -> None:
        """Start it, and wait until it follows the daemon."""
        self.state.unlink(missing_ok=True)
        with (self.directory / "notify.log").open("a") as log:
            self._notifier = self.host.start(
                NODEWARDEN, "notify", "run", "--config", self.daemon.configuration_path, stderr=log
            )
        wait_for(self.state.exists, "the notifier", (self.directory / "notify.log").read_text)

    def stop_notifier(self) -> None:
        """End it."""
        if self._notifier is not None:
            self._notifier.send_signal(signal.SIGTERM)
            self._notifier.wait(15)
            self._notifier = None

    def channels(self) -> dict[str, dict[str, int]]:
        """Return what the notifier says of its channels."""
        channels: dict[str, dict[str, int]] = json.loads(self.state.read_text())["channels"]
        return channels

    def counted(self) -> tuple[int, int]:
        """Return how many messages the channel that works got, and how many bans these stand for."""
        path = self.directory / "messages"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return len(found), sum(one["count"] + one["unseen"] for one in found)


@benchmark("notify_ban_p99_ms", "notify_burst_lost", "notify_burst_messages")
def notify_bans() -> Iterator[Figure]:
    """Ban latency with a notifier whose webhooks are slow and dead (milliseconds), and the messages of a burst.

    `notify_ban_p99_ms`: from write(2) of a log line (maxretry 1) to the kernel's notification of the new element, as
    `log_to_set_p99_ms`; the notifier has a webhook that never answers, one whose port is closed, and one that works.
    "Peer" is the same daemon without the notifier; rounds of 150 offenders take turns, medians of the percentiles of
    four rounds each. `notify_burst_lost`: of 10,000 such lines at once, the bans that no message stands for, at the
    webhook that works; `notify_burst_messages`: how many messages they were.
    """
    with _node() as node, SetWatch(node.host) as watch:
        p99s: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * _ROUNDS):
            has_notifier = bool(number % 2)
            if has_notifier:
                node.start_notifier()
            p50, p99 = percentiles(list(_latencies(node, watch, number)))
            node.stop_notifier()
            p99s[has_notifier].append(p99)
            progress(f"{'with' if has_notifier else 'without'} notifier: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        yield Figure.with_peer("notify_ban_p99_ms", median(p99s[True]), "ms", median(p99s[False]))
        messages, lost = _burst(node)
        yield Figure("notify_burst_lost", lost, "bans")
        yield Figure("notify_burst_messages", messages, "messages")


@contextmanager
def _node() -> Iterator[_Node]:
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        node = _Node(lab["node"], Path(name))
        server = "tests.support.notify_server"
        node.host.start(sys.executable, "-m", server, "127.0.0.1", str(_WORKS), name, env=dict(os.environ))
        with node.host.entered():  # nobody accepts: the kernel takes the connection and the request
            slow = socket.create_server(("127.0.0.1", _SLOW))
        try:
            node.daemon.start()
            yield node
            node.stop_notifier()
            node.daemon.stop()
        finally:
            slow.close()


def _latencies(node: _Node, watch: SetWatch, number: int) -> Iterator[float]:
    """Yield the latency of each offender of a round, in milliseconds."""
    pause = random.Random(number)
    for index in range(_OFFENDERS):
        address = f"198.18.{number}.{index + 1}"
        start_s = node.attack(address)
        end_s = watch.wait_for(parse_address(address), _TIMEOUT_S)
        if end_s is None:
            raise BenchmarkError(f"{address} was not banned within {_TIMEOUT_S} s")
        yield (end_s - start_s) * 1e3
        time.sleep(pause.uniform(0.02, 0.06))


def _burst(node: _Node) -> tuple[int, int]:
    """Ban 10,000 at once; return the messages about them, and how many of them no message stands for."""
    node.start_notifier()
    until_s = time.monotonic() + _BURST_S
    while node.counted()[1] < _FOLLOWED and time.monotonic() < until_s:  # the digest of the last round
        time.sleep(0.5)
    before, earlier = node.counted()
    node.attack(*(f"198.19.{number >> 8}.{number & 255}" for number in range(_BURST)))
    until_s = time.monotonic() + _BURST_S
    messages, counted = before, earlier
    while counted - earlier < _BURST and time.monotonic() < until_s:
        time.sleep(0.5)
        messages, counted = node.counted()
    channels = node.channels()
    for name, one in channels.items():
        progress(f"channel {name}: {one['sent']} sent, {one['queued']} wait, {one['lost']} lost")
    return messages - before, _BURST - (counted - earlier)
