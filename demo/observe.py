"""`make observe`: two guarded nodes under mixed attacks and ordinary work, in Prometheus, for dashboards to show."""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from demo.forward import forwarded
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


def main() -> int:
    """Run it; exit code 0 if all guards were up until the end."""
    parser = argparse.ArgumentParser(prog="make observe", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to attack and work")
    parser.add_argument("--port", type=int, default=_LOCAL_PORT, help="where Prometheus is to be found on 127.0.0.1")
    parser.add_argument("--keep", action="store_true", help="leave it up until Ctrl-C")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("it makes network namespaces: run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _leave)
    with tempfile.TemporaryDirectory(prefix="nodewarden-observe-") as directory:
        print("building two nodes, an attacker, a client and a monitor, with a made-up day of history", flush=True)
        edges = Edges(Path(directory), scrape_s=_SCRAPE_S, rules=RULES)
        edges.prometheus.add_history(signal_history(NODES, time.time() - _SCRAPE_S, with_bands=True))
        with edges, forwarded(edges.monitor, PORT, options.port) as address:
            print(f"Prometheus: {address} (scrapes each {_SCRAPE_S:g} s)")
            print("point a Grafana's data source there, and let it read dashboards/json", flush=True)
            is_well = _play(edges, options.minutes * 60)
            if options.keep:
                _keep(address)
    print("the lab is gone")
    return 0 if is_well else 1


def _leave(*_: object) -> None:
    """End, so that the lab is removed; who asks twice does not get it half removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _play(edges: Edges, duration_s: float) -> bool:
    """Work all the time, attack in the middle of it, and tell what happens."""
    began_s = time.monotonic()
    work = OrdinaryWork(edges, per_s=_FETCHES_PER_S)
    story = Story(edges)
    while (passed_s := time.monotonic() - began_s) < duration_s:
        part = passed_s / duration_s
        what = story.go_on() if 0.2 < part < 0.85 else "ordinary work only"
        print(f"{passed_s:6.0f} of {duration_s:.0f} s  {what}", flush=True)
        time.sleep(min(_PAUSE_S, max(0.0, duration_s - (time.monotonic() - began_s))))
    work.stop()
    guards = edges.prometheus.value("sum(up)")
    print(f"{work.succeeded} of {work.succeeded + work.failed} fetches of ordinary work succeeded")
    print(f"{guards:g} of {len(edges.nodes)} guards are up")
    return guards == len(edges.nodes)


class Story:
    """One event after the other, for ever: each kind in turn, on either node."""

    def __init__(self, edges: Edges) -> None:
        """Nothing has happened yet."""
        self._edges = edges
        self._attacks = Attacks(edges)
        self._dice = random.Random(11)
        self._banned: list[str] = []
        self._count = 0

    def go_on(self) -> str:
        """Let the next thing happen and say what it was."""
        what = _PLOT[self._count % len(_PLOT)]
        number = int(self._dice.random() < _SHARE_OF_SECOND)
        self._count += 1
        self._do(what, self._edges.nodes[number], self._edges.daemons[number])
        return f"{NODES[number]}: {what.replace('_', ' ')}"

    def _do(self, what: str, node: Host, daemon: Daemon) -> None:
        if what == "banned_go_on":
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
    "banned_go_on",
    "guess_passwords",
    "flood",
    "banned_go_on",
    "touch_protected_port",
    "botnet",
    "banned_go_on",
    "call_out",
    "amplify",
    "scan_from_within",
    "banned_go_on",
    "confuse",
    "operator",
)
_PLOT = (*_CYCLE, *_CYCLE, "reload")


def _keep(address: str) -> None:
    """Leave it up until Ctrl-C."""
    print(f"\n{address} stays up until you press Ctrl-C", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
