"""Shadows: copies of detectors with other thresholds, which see the same events and only count.

Operators set `shadow:` in a detector's section to see what a change would do before it bans anybody. A shadow is
bounded like the detector itself, and is fed after the bans of a batch are in force, so that it delays none. Its alerts
are no offences and reach no policy. What matters is whom it finds compared with the real detector: each source is
followed until both had the time to find it, then it is counted once.
"""

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitor.daemon.pipeline import network_rules
from monitor.daemon.pipeline.carry_over import CarryOver
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.detectors.detector import Detector
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import build
from monitor.detectors.routes import Route
from monitor.detectors.settings import DetectorSettings
from monitor.metrics.metric import Sample
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.events import Event
from monitor.model.networks import Surrounding
from monitor.model.services import Service

_log = logging.getLogger(__name__)
_MOST_FOLLOWED = 4096
_EXAMPLES = 8
FOUND_BY = ("both", "shadow", "real")


class _Followed(msgspec.Struct):
    """A source that one of the two found."""

    first_s: float
    by_shadow: bool = False
    by_real: bool = False

    @property
    def found_by(self) -> str:
        if self.by_shadow and self.by_real:
            return "both"
        return "shadow" if self.by_shadow else "real"


class Shadow:
    """The copy of one detector, and how its findings compare with those of the real one."""

    def __init__(self, detector: Detector[Any], real: Detector[Any]) -> None:
        """Take the copy, and the detector that bans."""
        self.detector = detector
        self.compared = detector.recipe, real.recipe
        """What the counts are about: with other thresholds they start anew."""
        self.alerts = 0
        self.sources: Counter[str] = Counter(dict.fromkeys(FOUND_BY, 0))
        """Sources by who found them; each counts once it is settled."""
        self.settled_early = 0
        """Sources counted before both had the time to find them, because there were too many."""
        self.examples: dict[str, deque[str]] = {name: deque(maxlen=_EXAMPLES) for name in ("shadow", "real")}
        """The last sources that only one of the two found."""
        self._settle_s = max(detector.limits.findtime_s, real.limits.findtime_s)
        self._followed: OrderedDict[Network, _Followed] = OrderedDict()

    def note(self, alert: Alert | FloodAlert, *, is_real: bool) -> None:
        """Note an alert of either; a flood has no source to compare."""
        self.alerts += not is_real
        if isinstance(alert, FloodAlert):
            return
        one = self._followed.get(alert.network)
        if one is None:
            one = self._followed[alert.network] = _Followed(alert.time_s)
            if len(self._followed) > _MOST_FOLLOWED:
                self.settled_early += 1
                self._settle(*self._followed.popitem(last=False))
        one.by_real |= is_real
        one.by_shadow |= not is_real

    def tick(self, now_s: float) -> None:
        """Count the sources that both had the time to find, or all if the clock was set back."""
        while self._followed:
            network, one = next(iter(self._followed.items()))
            if 0 <= now_s - one.first_s <= self._settle_s:
                return
            del self._followed[network]
            self._settle(network, one)

    def so_far(self) -> Counter[str]:
        """Return the sources by who found them, with those that are not settled as they are now."""
        return self.sources + Counter(one.found_by for one in self._followed.values())

    def named(self) -> dict[str, list[str]]:
        """Return examples of sources that only one of the two found, the latest last."""
        named = {name: list(known) for name, known in self.examples.items()}
        for network, one in self._followed.items():
            if one.found_by in named:
                named[one.found_by].append(str(network))
        return {name: known[-_EXAMPLES:] for name, known in named.items()}

    def _settle(self, network: Network, one: _Followed) -> None:
        self.sources[one.found_by] += 1
        if one.found_by in self.examples:
            self.examples[one.found_by].append(str(network))


class Shadows:
    """All shadows of a configuration; without any it costs nothing."""

    def __init__(self) -> None:
        """Start without any."""
        self.by_name: dict[str, Shadow] = {}
        self.routes: dict[str, Route] = {}
        self.faults: Counter[str] = Counter()
        """Batches that a shadow could not count, by detector: faults of our own."""
        self._dispatch: list[tuple[Shadow, Dispatch]] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.by_name)

    @property
    def counting(self) -> list[Detector[Any]]:
        """All copies, and those that count single networks apart."""
        return [one for name in self.by_name for one in self.counting_as(name)]

    def counting_as(self, name: str) -> list[Detector[Any]]:
        """Return the copy of one detector, and those of it that count single networks apart."""
        variants = self.routes[name].variants if name in self.routes else ()
        return [self.by_name[name].detector, *variants]

    def follow_settings(
        self,
        sections: Mapping[str, DetectorSettings],
        detectors: Sequence[Detector[Any]],
        routes: Mapping[str, Route],
        context: DetectorContext,
        carry: CarryOver,
    ) -> None:
        """Make the copies that the sections ask for; they keep what they counted as the detectors themselves do."""
        before, self.by_name = self.by_name, {}
        made: dict[str, Route] = {}
        for real in detectors:
            shadowed = sections[real.name].of_shadow
            if shadowed is None:
                continue
            known = before.get(real.name)
            copy = carry.follow(build(real.name, shadowed, context), known.detector if known else None)
            is_same = known is not None and known.detector is copy and known.compared == (copy.recipe, real.recipe)
            self.by_name[real.name] = known if known and is_same else Shadow(copy, real)
            made |= network_rules.routes({real.name: shadowed}, [copy], context, self.routes, carry)
            if real.name in made:
                made[real.name] = _without_copies(made[real.name], routes.get(real.name))
        self.routes = made
        self._dispatch = [(one, Dispatch([one.detector], self.routes)) for one in self.by_name.values()]

    def follow(self, surrounding: Surrounding) -> None:
        """Follow who is where."""
        for detector in self.counting:
            detector.follow(surrounding)

    def found(self, alerts: Iterable[Alert | FloodAlert]) -> None:
        """Note what the real detectors found."""
        for alert in alerts:
            if shadow := self.by_name.get(alert.detector):
                shadow.note(alert, is_real=True)

    def feed(self, events: Sequence[Event], is_spared: Callable[[Alert], bool]) -> None:
        """Count a batch; alerts that are spared concern protected addresses, as with the real detectors."""
        for shadow, dispatch in self._dispatch:
            try:
                for alert in dispatch.feed(events):
                    if not (isinstance(alert, Alert) and is_spared(alert)):
                        shadow.note(alert, is_real=False)
            except Exception:  # noqa: BLE001 - what only counts must never cost a ban
                name = shadow.detector.name
                if not self.faults[name]:
                    _log.exception("the shadow of %s failed; bans are not affected; please report this", name)
                self.faults[name] += 1

    def take_back(self, events: Sequence[Event]) -> None:
        """Take back events that were no evidence."""
        for detector in self.counting:
            if type(events[0]) in detector.takes:
                deque(detector.take_back(events), 0)

    def review(self, services: Sequence[Service]) -> None:
        """Take note of services that became known."""
        for detector in self.counting:
            deque(detector.review(services), 0)

    def turn(self, now_s: float) -> None:
        """Forget the busiest sources, and count those that are settled."""
        for detector in self.counting:
            detector.stats.turn()
        for shadow in self.by_name.values():
            shadow.tick(now_s)

    def describe(self, name: str) -> dict[str, Any] | None:
        """Return what `status` shows of the shadow of a detector; None: it has none."""
        shadow = self.by_name.get(name)
        if shadow is None:
            return None
        limits, found = shadow.detector.limits, shadow.so_far()
        counting = self.counting_as(name)
        return {
            "maxretry": limits.maxretry,
            "findtime_s": limits.findtime_s,
            "alerts": shadow.alerts,
            "sources": {one: found[one] for one in FOUND_BY},
            "only": shadow.named(),
            "window_entries": sum(one.stats.entries for one in counting),
            "evicted_keys": sum(one.stats.evicted_keys for one in counting),
        }

    def problems(self) -> list[str]:
        """Say which shadows do not count all that they should; no ban depends on them."""
        return [
            f"the shadow of {name} failed on {count} batches of events: its counts are too low; see the log"
            for name, count in self.faults.items()
            if name in self.by_name
        ]

    def notices(self) -> list[str]:
        """Say which shadows forgot evidence lately, because their windows are full."""
        return [
            f"the window of the shadow of {one.name} is full: it forgot {one.stats.missed_lately} sources too early "
            "within two minutes, and finds less than the same thresholds would with more max_entries"
            for one in self.counting
            if one.stats.missed_lately
        ]

    def samples(self) -> Iterator[Sample]:
        """Yield what was counted."""
        for name, shadow in self.by_name.items():
            yield "nodewarden_shadow_maxretry", (name,), shadow.detector.limits.maxretry
            yield "nodewarden_shadow_findtime_seconds", (name,), shadow.detector.limits.findtime_s
            yield "nodewarden_shadow_alerts_total", (name,), shadow.alerts
            yield (
                "nodewarden_shadow_evicted_keys_total",
                (name,),
                sum(one.stats.evicted_keys for one in self.counting_as(name)),
            )
            for found_by in FOUND_BY:
                yield "nodewarden_shadow_sources_total", (name, found_by), shadow.sources[found_by]


def _without_copies(route: Route, real: Route | None) -> Route:
    """Return a route that does not count what the real detector counts alike: networks with thresholds of their own."""
    if real is None:
        return route
    alike = [one.recipe for one in real.variants]
    targets = {
        network: None if target is not None and target is not route.base and target.recipe in alike else target
        for network, target in route.targets.items()
    }
    return Route(route.base, targets)
