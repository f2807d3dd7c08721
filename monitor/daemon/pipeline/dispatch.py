"""Routes each batch of events to the detectors that take its type."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from monitor.detectors.detector import Detector
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.events import Event


class Dispatch:
    """Tables made once from what detectors take: a batch costs only the detectors it concerns."""

    def __init__(self, detectors: Iterable[Detector[Any]]) -> None:
        """Take all detectors; names are unique."""
        self._by_type: dict[type[Event], list[Detector[Any]]] = {}
        self._by_name: dict[type[Event], dict[str, Detector[Any]]] = {}
        for detector in detectors:
            for event in detector.takes:
                if detector.is_addressed:
                    self._by_name.setdefault(event, {})[detector.name] = detector
                else:
                    self._by_type.setdefault(event, []).append(detector)

    def feed(self, events: Sequence[Event]) -> Iterator[Alert | FloodAlert]:
        """Yield the alerts of a batch, whose events are all of one type; those for a detector that is gone are lost."""
        if not events:
            return
        kind = type(events[0])
        for detector in self._by_type.get(kind, ()):
            yield from detector.feed(events)
        if named := self._by_name.get(kind):
            yield from _feed_named(named, events)


def _feed_named(detectors: dict[str, Detector[Any]], events: Sequence[Any]) -> Iterator[Alert | FloodAlert]:
    """Yield the alerts of events that carry the name of their detector."""
    by_name: dict[str, list[Any]] = {}
    for event in events:
        by_name.setdefault(event.detector, []).append(event)
    for name, batch in by_name.items():
        if detector := detectors.get(name):
            yield from detector.feed(batch)
