"""Full windows: whatever floods a detector, offenders in the flood are found, and the flood has nobody else accused.

Every registered detector is held to that, with its own samples: the flood is made of them without the last event that
would fire, in the names of forged sources, and each offender sends them again and again. The window is a thirty-second
of the default, and so is the flood: what matters is how soon it fills the window.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from monitor.detectors.detector import Detector
from monitor.detectors.origin_rate import RateDetector
from monitor.detectors.registration import AnyRegistration, DetectorContext
from monitor.detectors.registry import ALL
from monitor.model.addresses import Address, parse_address
from monitor.model.alerts import Alert
from monitor.model.events import Event
from monitor.model.flows import FlowBatch
from tests.unit.detectors.test_registry import made, samples_of

SCALE = 32
MAX_ENTRIES = 32_768 // SCALE
CONTEXT = DetectorContext(ipv6_48=0, xdp_interfaces=("eth0",))
SLOW_S, FAST_S = 0.6, 0.05
"""Between two events of an offender: a scan of 1,000 ports within ten minutes; and for rates, the lowest default."""
LONGEST_S = 600.0
_OFFENDERS6 = [parse_address(f"2001:db8:{number:x}::1") for number in range(1, 7)]
OFFENDERS = {
    "ipv4": [parse_address(f"198.18.0.{number}") for number in range(1, 7)],
    "ipv6": _OFFENDERS6,
    "one /48": _OFFENDERS6,
}
OFFENDING = {one for found in OFFENDERS.values() for one in found}

every = pytest.mark.parametrize("registration", ALL, ids=lambda one: str(one.name))


def forged(kind: str, number: int) -> Address:
    """Return a source of the flood; each number another one, in a /64 of its own."""
    if kind == "ipv4":
        return (number * 0x9E37_79B1 & 0xFFFF_FFFF).to_bytes(4)
    if kind == "ipv6":
        return b"\x2a" + (number * 0x9E37_79B9_7F4A_7C15 & (1 << 56) - 1).to_bytes(7) + bytes(8)
    return parse_address("2001:db8:ffff::")[:6] + (number * 0x9E37 & 0xFFFF).to_bytes(2) + bytes(8)


def subject_of(registration: AnyRegistration) -> Address:
    """Return whom the samples of a detector are about."""
    samples = samples_of(registration)
    detector = made(registration, samples.section)
    raised = [alert for event in samples.fires for alert in detector.feed([event])]
    return next(alert.source for alert in raised if isinstance(alert, Alert))


class Forger:
    """Makes events like those of the samples, in any name and at any time."""

    def __init__(self, registration: AnyRegistration) -> None:
        self.fires = samples_of(registration).fires
        self._subject = subject_of(registration)
        self._ids = itertools.count(1_000_000)

    def event(self, number: int, source: Address, time_s: float) -> Event:
        """Return the sample of this number about another source."""
        event = self.fires[number % len(self.fires)]
        if not isinstance(event, FlowBatch):
            renamed: Event = self._renamed(event, source, time_s)
            return renamed
        kinds = ("opened", "completed", "ending", "listed", "incomplete")
        flows = {kind: [self._renamed(one, source, time_s) for one in getattr(event, kind)] for kind in kinds}
        return msgspec.structs.replace(event, time_s=time_s, **flows)

    def _renamed(self, event: Any, source: Address, time_s: float) -> Any:
        changed: dict[str, Any] = {
            name: source for name in event.__struct_fields__ if getattr(event, name) == self._subject
        }
        if "id" in event.__struct_fields__:
            changed["id"] = next(self._ids)
        return msgspec.structs.replace(event, time_s=time_s, **changed)


def flood(forger: Forger, kind: str, rate: float, start_s: float) -> Iterator[tuple[Address, Event]]:
    """Yield what fills the window, then what keeps it full: sources that come back, new ones, new ones with all."""
    most = max(1, len(forger.fires) - 1)
    chance = random.Random(7)
    pool = MAX_ENTRIES
    for number in range(pool):
        for step in range(most):
            yield forged(kind, number), forger.event(step, forged(kind, number), start_s)
    new = itertools.count(pool)
    for turn in itertools.count(1):
        now_s = start_s + turn / rate
        number = chance.randrange(pool) if turn % 3 == 0 else next(new)
        for step in range(most if turn % 3 == 1 else 1):
            yield forged(kind, number), forger.event(step, forged(kind, number), now_s)


class Watched:
    """A detector with a full window, and what became known of whom."""

    def __init__(self, registration: AnyRegistration, offenders: list[Address]) -> None:
        section = samples_of(registration).section
        if "max_entries" in section.__struct_fields__:
            section = msgspec.structs.replace(section, max_entries=MAX_ENTRIES)
        self.detector: Detector[Any] = made(registration, section, CONTEXT)
        self.left = set(offenders)
        self.others: list[Alert] = []
        self.sent: Counter[Address] = Counter()

    def take(self, source: Address, event: Event) -> None:
        """Feed an event of a source."""
        self.sent[source] += 1
        for alert in self.detector.feed([event]):
            if isinstance(alert, Alert) and alert.source not in OFFENDING:
                self.others.append(alert)
            elif isinstance(alert, Alert):
                self.left.discard(alert.source)

    def endure(self, forger: Forger, kind: str, rate: float) -> None:
        """Let offenders act in a flood until all are found, or for ten minutes."""
        pace_s = FAST_S if isinstance(self.detector, RateDetector) else SLOW_S
        start_s = next_s = 100_000.0
        step = 0
        for source, event in flood(forger, kind, rate, start_s):
            self.take(source, event)
            while start_s < event.time_s and next_s <= event.time_s:
                for one in tuple(self.left):
                    self.take(one, forger.event(step, one, next_s))
                step, next_s = step + 1, next_s + pace_s
            if not self.left or event.time_s > start_s + LONGEST_S:
                return


@every
@pytest.mark.parametrize("kind", OFFENDERS)
@pytest.mark.parametrize("rate", [55, 1000, 20_000])
def test_offenders_are_found_in_a_full_window(registration: AnyRegistration, kind: str, rate: int) -> None:
    """All six, and an alert is only ever about a source that sent as much as it takes."""
    forger, watched = Forger(registration), Watched(registration, OFFENDERS[kind])
    watched.endure(forger, kind, rate / SCALE)
    assert watched.left == set()
    assert [str(one.network) for one in watched.others if watched.sent[one.source] < len(forger.fires)] == []
    assert watched.detector.stats.entries <= watched.detector.limits.max_entries
