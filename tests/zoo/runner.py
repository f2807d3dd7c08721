"""Runs behaviours side by side against one daemon, and attributes to each what the daemon did."""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from tests.zoo.behaviour import Addresses, Behaviour, Visit
from tests.zoo.control import CONTROLS
from tests.zoo.topology import Topology
from tests.zoo.watch import Verdict, Watch

_SIDE_BY_SIDE = 12
"""Most behaviours wait most of the time."""
_SETTLE_S = 5.0
"""Handshakes are judged after two seconds; counters of drops and of XDP are read every second or so."""


class Result(msgspec.Struct, frozen=True):
    """What a behaviour did and what became of it."""

    behaviour: Behaviour
    target: str
    packets: int
    took_s: float
    verdict: Verdict
    failure: str
    """Why it could not do what it stands for, if it could not; a ban can be the reason."""

    @property
    def name(self) -> str:
        """Name with target where there are several."""
        return f"{self.behaviour.name} ({self.target})" if len(self.behaviour.targets) > 1 else self.behaviour.name

    @property
    def is_good(self) -> bool:
        """Whether it took place, and nobody was banned."""
        return not self.verdict.bans and not self.failure


class Outcome(msgspec.Struct, frozen=True):
    """The results of all behaviours."""

    results: tuple[Result, ...]
    controls: tuple[Result, ...]
    """Attackers that must be banned; without that the zoo proves nothing."""
    strays: tuple[str, ...]
    """Bans that belong to no behaviour."""
    blind: dict[str, str]
    """Sources that did not work at the end."""

    @property
    def bans(self) -> int:
        """How many behaviours led to a ban, and bans that belong to none."""
        return sum(bool(result.verdict.bans) for result in self.results) + len(self.strays)

    @property
    def missed(self) -> list[str]:
        """Names of attackers that were not banned."""
        return [result.name for result in self.controls if not result.verdict.bans]


class _Started(msgspec.Struct, frozen=True):
    behaviour: Behaviour
    visit: Visit
    took_s: float
    failure: str


def run(behaviours: Sequence[Behaviour], *, is_reduced: bool, report: Callable[[str], None]) -> Outcome:
    """Build the lab, run everything, remove the lab; `report` is called with a line of progress at a time."""
    addresses = Addresses()
    allowed = addresses.take("outside", 1)  # of the security team
    with tempfile.TemporaryDirectory(prefix="nodewarden-zoo-") as name, Topology() as topology:
        watch = Watch(topology.node, Path(name), allowed)
        watch.start()
        report("the lab is built, the daemon runs")
        planned = [
            (one, Visit(topology, target, addresses, watch, allowed[0]))
            for one in behaviours
            for target in (one.targets[:1] if is_reduced else one.targets)
            if one.is_reduced or not is_reduced
        ]
        attackers = [(one, Visit(topology, one.targets[0], addresses, watch, allowed[0])) for one in CONTROLS]
        started = _run_all(planned, report)
        time.sleep(_SETTLE_S)
        controls = _run_all(attackers, report)
        time.sleep(_SETTLE_S)
        return _outcome(watch, started, controls)


def _run_all(planned: Sequence[tuple[Behaviour, Visit]], report: Callable[[str], None]) -> list[_Started]:
    done = []
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        futures = [pool.submit(_run_one, one, visit) for one, visit in planned if not one.is_alone]
        for future in as_completed(futures):
            done.append(future.result())
            report(_line(done[-1]))
    for one, visit in planned:
        if one.is_alone:
            done.append(_run_one(one, visit))
            report(_line(done[-1]))
    order = {id(visit): number for number, (_, visit) in enumerate(planned)}
    return sorted(done, key=lambda one: order[id(one.visit)])


def _run_one(behaviour: Behaviour, visit: Visit) -> _Started:
    began_s = time.monotonic()
    failure = ""
    try:
        behaviour.run(visit)
    except Exception as error:  # noqa: BLE001 - whatever it is: the others go on, and the table says so
        failure = f"{type(error).__name__}: {error}"
    return _Started(behaviour, visit, time.monotonic() - began_s, failure)


def _line(started: _Started) -> str:
    text = f"{started.behaviour.name} ({started.visit.target}): {started.took_s:.1f} s"
    return f"{text}, failed: {started.failure}" if started.failure else text


def _outcome(watch: Watch, started: Sequence[_Started], controls: Sequence[_Started]) -> Outcome:
    events, packets = watch.events(), watch.packets()

    def result(one: _Started) -> Result:
        count = sum(packets.get(address, 0) for address in one.visit.owned)
        verdict = watch.judge(one.visit.owned, events)
        return Result(one.behaviour, one.visit.target, count, one.took_s, verdict, one.failure)

    owned = {address for one in (*started, *controls) for address in one.visit.owned}
    return Outcome(
        tuple(map(result, started)),
        tuple(map(result, controls)),
        tuple(watch.strays(owned, events)),
        watch.blind_sources(),
    )
