"""Runs the forgers of the network against one daemon, and says what became of their victims."""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import yaml

from tests.forgers.network import CONTROL, FORGERS, Forger
from tests.zoo.behaviour import Addresses, Visit
from tests.zoo.topology import Topology
from tests.zoo.watch import Watch, configuration

_SIDE_BY_SIDE = 8
_SETTLE_S = 5.0
_LOW = {
    "connection_rate": {"mode": "enforce", "maxretry": 30},
    "open_connections": {"mode": "enforce", "maxretry": 30},
}
"""Detectors of handshakes with thresholds so low that fifty of them are enough."""


class Row(msgspec.Struct, frozen=True):
    """What became of a victim."""

    forger: Forger
    packets: int
    proven: tuple[str, ...]
    """Bans on proven strength: there must be none."""
    shuns: tuple[str, ...]
    observed: tuple[str, ...]
    failure: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing happened that the forger does not declare."""
        if self.forger is CONTROL:
            return bool(self.proven)
        return not self.proven and not self.failure and (not self.shuns or bool(self.forger.shuns))


def run(report: Callable[[str], None], forgers: Sequence[Forger] = FORGERS) -> list[Row]:
    """Build the lab, attack, remove the lab."""
    addresses = Addresses()
    with tempfile.TemporaryDirectory(prefix="nodewarden-forgers-") as name, Topology() as topology:
        watch = Watch(topology.node, Path(name), addresses.take("outside", 1))
        settings = yaml.safe_load(configuration(watch.logs, ()))
        settings["detectors"] |= _LOW
        watch.daemon.configure(yaml.safe_dump(settings))
        watch.start()
        report("the lab is built, the daemon runs")
        visits = [(one, Visit(topology, one.target, addresses, watch, "")) for one in (CONTROL, *forgers)]
        first = _attack(visits[0][0], visits[0][1], report)  # forged handshakes make all handshakes prove less
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            failures = [first, *pool.map(lambda planned: _attack(planned[0], planned[1], report), visits[1:])]
        time.sleep(_SETTLE_S)
        events, packets = watch.events(), watch.packets()
        rows = []
        for (forger, visit), failure in zip(visits, failures, strict=True):
            verdict = watch.judge(visit.owned, events)
            proven = tuple(text for text in verdict.bans if "(ban)" in text)
            shuns = tuple(text for text in verdict.bans if text not in proven)
            count = sum(packets.get(address, 0) for address in visit.owned)
            rows.append(Row(forger, count, proven, shuns, verdict.observed, failure))
        return rows


def _attack(forger: Forger, visit: Visit, report: Callable[[str], None]) -> str:
    try:
        forger.run(visit)
    except Exception as error:  # noqa: BLE001 - the others go on, and the table says so
        return f"{type(error).__name__}: {error}"
    report(f"{forger.name}: done")
    return ""
