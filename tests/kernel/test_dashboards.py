"""Every query of every dashboard runs on a real Prometheus that scraped the daemon through real attacks, and shows them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.attacks import Attacks, operate
from tests.support.daemon import wait_for
from tests.support.dashboards import NAMES, Asked, filled, queries
from tests.support.fleet import EDGES, Fleet, OrdinaryWork

pytestmark = pytest.mark.kernel

_SCRAPE_S = 1.0
_WINDOW_S = 15

_ONE_SECOND_A_MINUTE = "the kernel keeps count of runs in one second of each minute, and the test is shorter"
_EMPTY = {
    ("overview", "What does it cost?", "Counting one drop"): _ONE_SECOND_A_MINUTE,
    ("guard", "Time of a run in the kernel", "{{program}}"): _ONE_SECOND_A_MINUTE,
}
"""What shows nothing although all is well, by dashboard, panel and series, with the reason."""


class Watched:
    """A fleet that was attacked, and when."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.attacks = Attacks(fleet)
        self.since_s = time.time()

    def samples(self, expression: str) -> list[list[tuple[float, float]]]:
        """Return the values of each series of a query from the begin until now."""
        found = self.fleet.prometheus.query_range(expression, self.since_s, time.time(), _SCRAPE_S)
        return [[(float(at_s), float(value)) for at_s, value in series["values"]] for series in found]

    def scrapes_after(self, instance: str, moment_s: float) -> list[float]:
        """Return when a node was scraped after a moment."""
        found = self.fleet.prometheus.query(f'up{{instance="{instance}"}}[1m]')
        return [float(at_s) for series in found for at_s, _ in series["values"] if float(at_s) > moment_s]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Yield a fleet after some seconds of ordinary work and every kind of attack."""
    with Fleet(tmp_path_factory.mktemp("fleet"), scrape_s=_SCRAPE_S) as fleet:
        seen = Watched(fleet)
        work = OrdinaryWork(fleet, per_s=10)
        second = fleet.nodes[1]
        wait_for(lambda: len(seen.scrapes_after(EDGES[1], 0)) >= 3, "three scrapes", timeout_s=20)
        _attack(seen)
        seen.attacks.go_on(second, seen.attacks.guess_passwords(second))
        scraped_s = time.time()
        wait_for(lambda: len(seen.scrapes_after(EDGES[1], scraped_s)) >= 3, "three more scrapes", timeout_s=20)
        work.stop()
        assert work.failed == 0
        yield seen


def _attack(seen: Watched) -> None:
    """Do everything there is to the first node."""
    attacks, target = seen.attacks, seen.fleet.nodes[0]
    scanner = attacks.scan(target)
    attacks.scan_from_within(target)
    guesser = attacks.guess_passwords(target)
    attacks.flood(target)
    attacks.confuse(target)
    attacks.touch_protected_port(target)
    attacks.call_out(target)
    attacks.amplify(target)
    attacks.go_on(target, guesser)
    attacks.go_on(target, scanner)
    operate(seen.fleet.daemons[0], target, 7)


def _span(watched: Watched) -> str:
    return f"{round(time.time() - watched.since_s)}s"


def _shows(watched: Watched, asked: Asked) -> bool:
    """Whether a query finds anything, at any time for those over time, now for those of the moment."""
    expression = filled(asked.expression, _span(watched), f"{_WINDOW_S}s")
    if asked.is_instant:
        return bool(watched.fleet.prometheus.query(expression))
    return bool(watched.samples(expression))


@pytest.mark.parametrize("name", NAMES)
def test_every_query_finds_something(watched: Watched, name: str) -> None:
    """With variables filled in, Prometheus takes each query of the dashboard, and all but the listed ones find data."""
    empty = {(name, asked.panel, asked.legend) for asked in queries(name) if not _shows(watched, asked)}
    assert empty == {place for place in _EMPTY if place[0] == name}
