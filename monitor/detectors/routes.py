"""Routes of a detector with rules for single networks: whose events go to which window, and whose do not count.

Without such rules there is no route, and the dispatch feeds the detector itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitor.detectors.detector import Detector
from monitor.model.addresses import Address, Network, fold_mapped
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.flows import FlowBatch
from monitor.model.network_map import NetworkMap

_FLOWS = ("opened", "completed", "late", "ending", "listed", "incomplete")


class Route:
    """A detector, and the detectors of the same name that count networks with another threshold."""

    def __init__(self, base: Detector[Any], targets: Mapping[Network, Detector[Any] | None]) -> None:
        """Take by network who counts its events: `base`, another detector, or nobody."""
        self.base = base
        self.targets = targets
        self.variants: list[Detector[Any]] = []
        for target in targets.values():
            if target is not None and target is not base and target not in self.variants:
                self.variants.append(target)
        self._places = {id(one): place for place, one in enumerate((base, *self.variants))}
        self._map = NetworkMap(targets)

    def counts(self, address: Address) -> Detector[Any] | None:
        """Return the detector that counts events about an address; None: they do not count."""
        found = self._map.get(fold_mapped(address))
        return self.base if found is None else found[1]

    def feed(self, events: Sequence[Any]) -> Iterator[Alert | FloodAlert]:
        """Feed each event to the detector that counts it; yield the alerts."""
        detectors = (self.base, *self.variants)
        if events and type(events[0]) is FlowBatch:
            parts: Iterable[list[Any]] = zip(*map(self._split_batch, events), strict=True)  # type: ignore[assignment]
        else:
            parts = self._split(events, "source")
        for detector, part in zip(detectors, parts, strict=True):
            if part:
                yield from detector.feed(part)

    def _split(self, events: Iterable[Any], attribute: str) -> list[list[Any]]:
        """Return the events by the place of their detector."""
        parts: list[list[Any]] = [[] for _ in self._places]
        for event in events:
            target = self.counts(getattr(event, attribute) or event.destination)
            if target is not None:
                parts[self._places[id(target)]].append(event)
        return parts

    def _split_batch(self, batch: FlowBatch) -> list[FlowBatch]:
        """Return what each detector gets of a batch; the totals, which are of no source, are for the base alone."""
        attribute = self.base.judges
        split = {name: self._split(getattr(batch, name), attribute) for name in _FLOWS}
        batches = []
        for place in range(len(self._places)):
            totals = {} if place == 0 else {"attempts": 0, "completions": 0}
            batches.append(msgspec.structs.replace(batch, **totals, **{name: split[name][place] for name in _FLOWS}))
        return batches
