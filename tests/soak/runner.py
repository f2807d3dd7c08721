"""Runs the soak: noise all the time, offenders spread over it, and a record of when each was banned."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles

import msgspec

from bench.offenders import Attacker
from bench.process import memory_mb
from bench.set_watch import SetWatch
from monitor.enforcers import netlink
from tests.soak.offenders import Offender, kinds, offend
from tests.soak.stage import Stage
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab

PER_KIND = 20
_WARM_UP_SHARE = 0.4
"""Until then tables may fill; what memory grows by afterwards is reported."""
_SETTLE_S = 5.0


class Outcome(msgspec.Struct, frozen=True):
    """What became of the offenders, of everybody else, and of the daemon."""

    offenders: tuple[Offender, ...]
    banned_s: dict[bytes, float]
    """When the kernel told of the element of an address first, by its key (CLOCK_MONOTONIC)."""
    others: tuple[str, ...]
    """Bans of others than the offenders."""
    troubles: tuple[str, ...]
    """What failed in the daemon, or of the noise."""
    growth_mb: float

    def found(self, kind: str) -> list[float]:
        """Return the seconds until the ban of each offender of a kind that was banned."""
        return [
            self.banned_s[one.element] - one.crossed_s
            for one in self.offenders
            if one.kind == kind and one.element in self.banned_s
        ]

    @property
    def found_percent(self) -> float:
        """Which share of the offenders was banned."""
        return 100.0 * sum(one.element in self.banned_s for one in self.offenders) / len(self.offenders)

    @property
    def ban_p99_ms(self) -> float:
        """99th percentile of the time from the last offence to the element in the set."""
        times = [took_s for kind in {one.kind for one in self.offenders} for took_s in self.found(kind)]
        return quantiles(times, n=100, method="inclusive")[98] * 1e3 if len(times) > 1 else float("nan")


class _Watcher:
    """Follows the kernel's notifications of new elements in a thread."""

    def __init__(self, node: Host) -> None:
        self.banned_s: dict[bytes, float] = {}
        self._watch = SetWatch(node)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ends.is_set():
            arrived_s, replies = self._watch.read(0.5)
            for reply in replies:
                if reply.type == netlink.NEW_ELEMENTS and b"nodewarden\0" in reply.body:
                    for element in netlink.decode_elements(reply.body):
                        if not element.is_end:
                            self.banned_s.setdefault(element.key, arrived_s)

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        self._watch.close()


def run(duration_s: float, report: Callable[[str], None]) -> Outcome:
    """Build the lab, run everything for `duration_s`, remove the lab; `report` is called with lines of progress."""
    names = ("node", "offenders", "forgers", "clients")
    with (
        tempfile.TemporaryDirectory(prefix="nodewarden-soak-") as directory,
        Lab(*names, label="soak") as lab,
    ):
        stage = Stage(lab, Path(directory))
        stage.daemon.start()
        watcher = _Watcher(stage.node)
        with _noise(stage) as troubles, closing(Attacker(stage.offenders, stage.node)) as packets:
            report("the daemon runs, and so does the noise")
            time.sleep(_SETTLE_S)
            offenders, growth_mb = _attack(stage, packets, duration_s, watcher, report)
            time.sleep(_SETTLE_S)
            troubles.extend(_troubles(stage))
            expected = {one.network for one in offenders}
            others = [ban["network"] for ban in stage.daemon.ask("list") if ban["network"] not in expected]
        watcher.close()
        troubles.extend(_stop(stage))
    return Outcome(tuple(offenders), watcher.banned_s, tuple(others), tuple(troubles), growth_mb)


def _attack(
    stage: Stage, packets: Attacker, duration_s: float, watcher: _Watcher, report: Callable[[str], None]
) -> tuple[list[Offender], float]:
    """Let the offenders offend one after the other; return them and the growth of the daemon's memory."""
    all_kinds = kinds(stage, packets)
    plan = [(kind, number) for number in range(PER_KIND) for kind in all_kinds]
    begun_s = time.monotonic()
    settled_mb = 0.0
    offenders = []
    for number, (kind, index) in enumerate(plan):
        time.sleep(max(0.0, begun_s + number * duration_s / len(plan) - time.monotonic()))
        offenders.append(offend(kind, index))
        if not settled_mb and number >= _WARM_UP_SHARE * len(plan):
            settled_mb = memory_mb(stage.daemon.pid, "VmRSS")
        if number % (4 * len(all_kinds)) == 0:
            found = sum(one.element in watcher.banned_s for one in offenders)
            rss_mb = memory_mb(stage.daemon.pid, "VmRSS")
            report(f"{time.monotonic() - begun_s:6.0f} s: {found} of {len(offenders)} banned, {rss_mb:.0f} MB")
    return offenders, memory_mb(stage.daemon.pid, "VmRSS") - settled_mb


@contextmanager
def _noise(stage: Stage) -> Iterator[list[str]]:
    """Keep the noise going; yield a list, to which it adds what ended by itself."""
    node, directory = stage.node, str(stage.directory)
    said = stage.directory / "noise.log"
    started = {
        "page": node.start(sys.executable, "-m", "tests.support.web_server", node.address4, "80"),
        "SYN flood": stage.forgers.start(
            "hping3", "-q", "-S", "-p", "80", "--rand-source", "-i", "u500", node.address4
        ),
        "forged": _start(stage.forgers, said, "forged", node.address4, "400"),
        "logs": _start(node, said, "logs", directory, "200"),
        "slow": _start(node, said, "slow", directory),
        "idle": _start(node, said, "idle"),
        "rules": _start(node, said, "rules"),
        "vandal": _start(node, said, "vandal"),
        "scraper": _start(node, said, "scraper"),
        "control": _start(node, said, "control", str(stage.directory / "control.sock")),
        "clients": _start(stage.clients, said, "clients", node.address4),
    }
    troubles: list[str] = []
    try:
        yield troubles
        for name, one in started.items():
            if one.poll() is not None:
                troubles.append(f"{name} ended with {one.returncode}: {said.read_text()[-500:]}")
    finally:
        for one in started.values():
            one.terminate()
        for one in started.values():
            one.wait(10)


def _start(host: Host, said: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with said.open("a") as errors:
        return host.start(sys.executable, "-m", "tests.soak.noise", *arguments, env=environment, stderr=errors)


def _troubles(stage: Stage) -> list[str]:
    """Return sources of evidence that are down, which the attack must not achieve; and noise without effect."""
    status = stage.daemon.ask("status")
    troubles = [f"source {one['name']} is {one['state']}" for one in status["sources"] if one["state"] == "down"]
    if not stage.daemon.metrics()['nodewarden_filter_timeouts_total{detector="slow"}']:
        troubles.append("no line was slow for the slow filter")
    return troubles


def _stop(stage: Stage) -> list[str]:
    """Stop the daemon; return what is wrong with how it ended."""
    process = stage.daemon.process
    if process is None or process.poll() is not None:
        return ["the daemon ended by itself", stage.daemon.log[-2000:]]
    process.send_signal(signal.SIGTERM)
    try:
        wait_for(lambda: process.poll() is not None, "the daemon to stop", lambda: "", 10)
    except RuntimeError as error:
        return [str(error)]
    return [f"the daemon exited with {process.returncode}"] if process.returncode else []
