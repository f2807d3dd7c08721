"""Routes each batch of events to the detectors that take its type."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from monitor.detectors.detector import Detector
from monitor.detectors.routes import Route
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.events import Event

_Fed: TypeAlias = Detector[Any] | Route
_NONE: Mapping[str, Route] = MappingProxyType({})


class Dispatch:
    """Tables made once from what detectors take: a batch costs only the detectors it concerns."""

    def __init__(self, detectors: Iterable[Detector[Any]], routes: Mapping[str, Route] = _NONE) -> None:
        """Take all detectors, whose names are unique, and by name the routes of those that have one."""
        self._by_type: dict[type[Event], list[_Fed]] = {}
        self._by_name: dict[type[Event], dict[str, _Fed]] = {}
        for detector in detectors:
            fed = routes.get(detector.name, detector)
            for event in detector.takes:
                if detector.is_addressed:
                    self._by_name.setdefault(event, {})[detector.name] = fed
                else:
                    self._by_type.setdefault(event, []).append(fed)

    def feed(self, events: Sequence[Event]) -> Iterator[Alert | FloodAlert]:
        """Yield the alerts of a batch, whose events are all of one type; those for a detector that is gone are lost."""
        if not events:
            return
        kind = type(events[0])
        for detector in self._by_type.get(kind, ()):
            yield from detector.feed(events)
        if named := self._by_name.get(kind):
            yield from _feed_named(named, events)


def _feed_named(detectors: dict[str, _Fed], events: Sequence[Any]) -> Iterator[Alert | FloodAlert]:
    """Yield the alerts of events that carry the name of their detector."""
    by_name: dict[str, Sequence[Any]] = dict.fromkeys([event.detector for event in events], events)
    if len(by_name) > 1:
        parts: dict[str, list[Any]] = {name: [] for name in by_name}
        for event in events:
            parts[event.detector].append(event)
        by_name = {**parts}
    for name, batch in by_name.items():
        if detector := detectors.get(name):
            yield from detector.feed(batch)
