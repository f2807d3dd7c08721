"""`make observe`: two guarded nodes under mixed attacks and ordinary work, scraped by Prometheus, for dashboards.

With a scene, one kind of trouble instead of all (`scenes.py`).
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.forward import forwarded
from demo.scenes import SCENES, Scene
from tests.support.attacks import Attacks, operate
from tests.support.daemon import Daemon
from tests.support.edges import NODES, Edges, OrdinaryWork
from tests.support.lab import Host
from tests.support.prometheus import PORT, RULES
from tests.support.signal_history import signal_history

_LOCAL_PORT = 19090
_SCRAPE_S = 5.0
_FETCHES_PER_S = 10
_PAUSE_S = 4.0
_BEFORE_S, _AFTER_S = 40.0, 45.0


def main() -> int:
    """Run it; exit code 0 if all daemons were up at the end."""
    parser = argparse.ArgumentParser(prog="make observe", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="duration of attacks and ordinary work")
    parser.add_argument("--port", type=int, default=_LOCAL_PORT, help="port of Prometheus on 127.0.0.1")
    parser.add_argument("--keep", action="store_true", help="keep the lab running until Ctrl-C")
    parser.add_argument("--scene", choices=SCENES, help="one kind of trouble instead of mixed attacks")
    parser.add_argument("--then", metavar="COMMAND", help="run a command at the end of a scene, while all is running")
    options = parser.parse_args()
    scene = SCENES[options.scene] if options.scene else None
    if os.geteuid() != 0:
        print("this creates network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="nodewarden-observe-") as directory:
        print("creating two nodes, an attacker, a client and a monitor, with one day of synthetic history", flush=True)
        edges = Edges(
            Path(directory),
            scrape_s=_SCRAPE_S,
            rules=RULES,
            bans=scene.bans if scene else "",
            trusts_monitor=not scene or scene.trusts_monitor,
        )
        edges.prometheus.add_history(signal_history(NODES, time.time() - _SCRAPE_S, with_bands=True))
        with edges, forwarded(edges.monitor, PORT, options.port) as address:
            print(f"Prometheus: {address} (scrapes every {_SCRAPE_S:g} s)")
            print("use it as a data source in Grafana, and import dashboards/json", flush=True)
            is_well = _show(edges, scene) if scene else _play(edges, options.minutes * 60)
            if options.then:
                subprocess.run(options.then, shell=True, check=False)
            if options.keep:
                _keep(address)
    print("the lab is removed")
    return 0 if is_well else 1


def _leave(*_: object) -> None:
    """Exit, so that the lab is removed; a second signal does not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _show(edges: Edges, scene: Scene) -> bool:
    """Run ordinary work, a scene, and more ordinary work; a daemon may well be down at the end."""
    work = OrdinaryWork(edges, per_s=_FETCHES_PER_S)
    time.sleep(_BEFORE_S)
    print(scene.what, flush=True)
    scene.play(edges)
    time.sleep(_AFTER_S)
    work.stop()
    return True


def _play(edges: Edges, duration_s: float) -> bool:
    """Run ordinary work all the time and attacks in the middle, and report events."""
    began_s = time.monotonic()
    work = OrdinaryWork(edges, per_s=_FETCHES_PER_S)
    story = Story(edges)
    while (passed_s := time.monotonic() - began_s) < duration_s:
        part = passed_s / duration_s
        what = story.advance() if 0.2 < part < 0.85 else "ordinary work only"
        print(f"{passed_s:6.0f} of {duration_s:.0f} s  {what}", flush=True)
        time.sleep(min(_PAUSE_S, max(0.0, duration_s - (time.monotonic() - began_s))))
    work.stop()
    guards = edges.prometheus.value("sum(up)")
    print(f"{work.succeeded} of {work.succeeded + work.failed} fetches of ordinary work succeeded")
    print(f"{guards:g} of {len(edges.nodes)} daemons are up")
    return guards == len(edges.nodes)


class Story:
    """An endless sequence of events: each kind in turn, on either node."""

    def __init__(self, edges: Edges) -> None:
        """Nothing has happened yet."""
        self._edges = edges
        self._attacks = Attacks(edges)
        self._dice = random.Random(11)
        self._banned: list[str] = []
        self._count = 0

    def advance(self) -> str:
        """Run the next event and return its description."""
        what = _PLOT[self._count % len(_PLOT)]
        number = int(self._dice.random() < _SHARE_OF_SECOND)
        self._count += 1
        self._do(what, self._edges.nodes[number], self._edges.daemons[number])
        return f"{NODES[number]}: {what.replace('_', ' ')}"

    def _do(self, what: str, node: Host, daemon: Daemon) -> None:
        if what == "banned_sources_continue":
            for source in self._banned[-2:]:
                self._attacks.keep_sending(node, source)
        elif what == "operator":
            operate(daemon, node, self._count % 250 + 1)
        elif what == "reload":
            daemon.run("reload")
        elif what == "botnet":
            self._banned += [self._attacks.guess_passwords(node) for _ in range(_BOTNET)]
        else:
            source = getattr(self._attacks, what)(node)
            self._banned += [source] if source else []


_BOTNET = 12
_SHARE_OF_SECOND = 0.35
_CYCLE = (
    "scan",
    "banned_sources_continue",
    "guess_passwords",
    "flood",
    "banned_sources_continue",
    "touch_protected_port",
    "botnet",
    "banned_sources_continue",
    "call_out",
    "amplify",
    "scan_from_within",
    "banned_sources_continue",
    "confuse",
    "operator",
)
_PLOT = (*_CYCLE, *_CYCLE, "reload")


def _keep(address: str) -> None:
    """Keep the lab running until Ctrl-C."""
    print(f"\n{address} is up until you press Ctrl-C", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
