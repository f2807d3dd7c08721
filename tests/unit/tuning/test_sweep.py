"""A sweep over thresholds finds what one run for each pair of thresholds finds."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from monitor.daemon.tuning.grid import at, grid_of
from monitor.daemon.tuning.sweep import sweep_of
from monitor.detectors.connection_rate import ConnectionRateSettings
from monitor.detectors.drop_rate import DropRateSettings
from monitor.detectors.egress import EgressSettings
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.host_sweep import HostSweepSettings
from monitor.detectors.open_connections import OpenConnectionsSettings
from monitor.detectors.port_scan import PortScanSettings
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import REGISTRATIONS, build
from monitor.detectors.settings import DetectorSettings
from monitor.detectors.stealth_scan import StealthScanSettings
from monitor.model.addresses import parse_address
from monitor.model.alerts import Alert, Strength
from monitor.model.events import DropsObserved, Event
from monitor.model.flows import FlowBatch, FlowEstablished
from tests.support.detectors import SURROUNDING
from tests.support.events import failure, tcp
from tests.support.flows import flow

_SOURCES = [f"198.51.100.{number}" for number in range(1, 7)] + [
    f"2001:db8:0:{prefix}::{number}" for prefix in range(2) for number in range(1, 4)
]
_CONTEXT = DetectorContext(ipv6_48=3, xdp_interfaces=("eth0",))


class Chance(random.Random):
    """Random choices of a day; some sources are busier than others."""

    def source(self) -> str:
        """Return the source of an event."""
        return self.choices(_SOURCES, [1.4**place for place in range(6)] * 2)[0]


def _failures(chance: Chance, time_s: float) -> list[Event]:
    strength = chance.choice([Strength.PROVEN, Strength.SPOOFABLE])
    wide = {"prefix_length": 24} if chance.random() < 0.05 else {}
    source = "198.51.100.0" if wide else chance.source()
    return [failure(source, time_s=time_s, strength=strength, user=chance.choice("ab"), **wide)]


def _probes(chance: Chance, time_s: float) -> list[Event]:
    to = f"192.0.2.{chance.randrange(1, 40)}"
    return [tcp(chance.source(), chance.randrange(1, 60), to=to, time_s=time_s) for _ in range(3)]


def _sweeps(chance: Chance, time_s: float) -> list[Event]:
    to = f"192.0.2.{chance.randrange(1, 40)}"
    return [tcp(chance.source(), chance.choice([22, 23]), to=to, time_s=time_s)]


def _drops(chance: Chance, time_s: float) -> list[Event]:
    sources = chance.sample(_SOURCES, 3)
    packets = tuple(chance.randrange(200) for _ in range(6))
    return [
        DropsObserved(time_s, parse_address(one), packets, stealth_ports=1 << chance.randrange(64)) for one in sources
    ]


def _flows(chance: Chance, time_s: float) -> list[Event]:
    made = [
        flow(FlowEstablished, chance.source(), time_s=time_s, id=chance.randrange(1, 1 << 30))
        for _ in range(chance.randrange(30))
    ]
    ending = [one for one in made if chance.random() < 0.4]
    return [FlowBatch(time_s=time_s, completed=made, ending=ending)]


CASES: dict[str, tuple[DetectorSettings, Callable[["Chance", float], list[Event]], float]] = {
    "sshd": (FailuresSettings(filter="sshd", maxretry=5, findtime_s=60.0), _failures, 4.0),
    "port_scan": (PortScanSettings(maxretry=10, findtime_s=60.0), _probes, 3.0),
    "host_sweep": (HostSweepSettings(maxretry=6, findtime_s=60.0), _sweeps, 2.0),
    "stealth_scan": (StealthScanSettings(maxretry=10, findtime_s=60.0), _drops, 3.0),
    "drop_rate": (DropRateSettings(maxretry=2000, findtime_s=20.0), _drops, 3.0),
    "connection_rate": (ConnectionRateSettings(maxretry=50, findtime_s=20.0), _flows, 3.0),
    "open_connections": (OpenConnectionsSettings(maxretry=40, findtime_s=20.0), _flows, 3.0),
}


def _day(name: str) -> list[list[Event]]:
    """Return batches of random events: busy times and pauses, now and then a clock that is set back."""
    chance, time_s = Chance(name), 1_000_000.0
    _, make, step_s = CASES[name]
    batches = []
    for _ in range(150):
        time_s += chance.choice([0.0, chance.expovariate(1 / step_s), 20 * step_s * chance.random() ** 6])
        time_s -= 500.0 if chance.random() < 0.002 else 0.0
        batches.append(make(chance, time_s))
    return batches


def _found(section: DetectorSettings, name: str, batches: Sequence[Sequence[Any]]) -> set[str]:
    detector = build(name, section, _CONTEXT)
    detector.follow(SURROUNDING)
    return {str(one.network) for batch in batches for one in detector.feed(batch) if isinstance(one, Alert)}


@pytest.mark.parametrize("name", CASES)
def test_a_sweep_finds_what_a_run_for_each_point_finds(name: str) -> None:
    """For every point, the sources that reach it are those that a detector with these values raises alerts about."""
    section = CASES[name][0]
    batches = _day(name)
    sweep = sweep_of(build(name, section, _CONTEXT), section, lambda one: build(name, one, _CONTEXT))
    sweep.follow(SURROUNDING)
    for batch in batches:
        assert not list(sweep.feed(batch))
    reached = list(sweep.sources())
    sizes = set()
    for point in sweep.grid.points[:: 1 if len(sweep.grid.points) < 50 else 3]:
        place = sweep.grid.findtimes_s.index(point.findtime_s)
        threshold = sweep.grid.maxretries.index(point.maxretry)
        found = {str(one.network) for one in reached if one.is_found(place, threshold)}
        assert found == _found(at(section, point), name, batches), point
        sizes.add(len(found))
    assert len(sizes) > 3, "the points hardly differ: this day shows nothing"


def test_every_point_of_a_grid_is_valid_and_today_is_one() -> None:
    """Whatever the detector: the values of each point can be written to its section and read back."""
    for one in REGISTRATIONS:
        section = one.settings()
        grid = grid_of(section)
        if grid is None:
            assert not hasattr(section, "maxretry")
            continue
        assert grid.today in grid.points
        assert len(grid.points) >= 8
        for point in grid.points:
            assert not list(at(section, point).conflicts())


def test_a_detector_without_a_threshold_is_refused() -> None:
    """There is nothing to sweep where one event is enough."""
    section = EgressSettings()
    with pytest.raises(ValueError, match="egress has no threshold"):
        sweep_of(build("egress", section, _CONTEXT), section, lambda one: build("egress", one, _CONTEXT))
