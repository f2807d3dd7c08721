"""What only floods the record: events of sources that led to nothing, beyond a rate, are counted instead of recorded.

A flood of forged sources brings more events in a minute than the node else sees in a week, and would displace all
history. Up to the limit of each second everything is recorded. Beyond it, events of sources that raised an alert or
completed a handshake lately are still recorded, and all others become one `Flood` a second: a count for each of the
busiest sources, and a number for the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from monitor.model.addresses import Address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.flows import FlowBatch, flow_key
from monitor.recording.inputs import Events, Flood

_MAX_KNOWN = 65_536
_MAX_COUNTED = 4096
"""Sources of one kind that are counted apart within a second."""
_MAX_NAMED = 64
"""Sources that one `Flood` names."""
_PREFIX_BYTES = 8
"""IPv6 sources are known by their /64: a host can use any address of it."""
_SCARCE_EVENTS = 200
"""Events a second that are recorded while floods have filled their share."""
_FILTERED = ("opened", "ending", "incomplete")


class KnownSources:
    """Sources that led to something: at least the latest 32,768, about twice as many at most."""

    def __init__(self) -> None:
        """Nobody is known."""
        self._latest: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, sources: Iterable[Address]) -> None:
        """Know these; half of what is known is forgotten at a time. It is called for every handshake."""
        self._latest.update([source[:_PREFIX_BYTES] for source in sources])
        if len(self._latest) > _MAX_KNOWN // 2:
            self._before, self._latest = self._latest, set()

    def __contains__(self, source: Address) -> bool:
        """Whether it led to something lately."""
        key = source[:_PREFIX_BYTES]
        return key in self._latest or key in self._before


class _Counts(msgspec.Struct):
    """What was only counted in a second, of one kind of event."""

    by_source: dict[bytes, int] = {}
    others: int = 0

    def add(self, sources: Iterator[Address]) -> None:
        by_source = self.by_source
        for source in sources:
            if source in by_source:
                by_source[source] += 1
            elif len(by_source) < _MAX_COUNTED:
                by_source[source] = 1
            else:
                self.others += 1

    def flood(self, time_s: float, kind: str) -> Flood:
        """Name the busiest sources; one that came once is nobody in particular."""
        ranked = sorted(self.by_source.items(), key=lambda item: -item[1])
        named = [(source, count) for source, count in ranked[:_MAX_NAMED] if count > 1]
        rest = sum(self.by_source.values()) - sum(count for _, count in named)
        return Flood(time_s, kind, named, self.others + rest)


class FloodFilter:
    """Splits batches into what is recorded and what is counted."""

    def __init__(self, events_per_s: int) -> None:
        """Count beyond `events_per_s` of each kind."""
        self.events_per_s = events_per_s
        self.is_scarce = False
        """Whether floods have filled their share of the recording: then the limit is low."""
        self.known = KnownSources()
        self.counted_total = 0
        """Events that were only counted."""
        self._second = 0
        self._seen: dict[str, int] = {}
        self._counts: dict[str, _Counts] = {}

    @property
    def limit(self) -> int:
        """The events of a kind that are recorded in a second, whatever they led to."""
        return _SCARCE_EVENTS if self.is_scarce else self.events_per_s

    def take(self, one: Events) -> Events | None:
        """Return what is to be recorded of a batch; None if nothing is."""
        if type(one.events[0]) is FlowBatch:
            for batch in one.events:
                self.known.add([flow.source for flow in batch.completed])
        kind = one.kind
        size = weight(one)
        seen = self._seen.get(kind, 0)
        self._seen[kind] = seen + size
        if seen + size <= self.limit:
            return one
        kept = [self._kept(kind, event) for event in one.events]
        events = [event for event in kept if event is not None]
        return Events(one.time_s, events) if events else None

    def turn(self, time_s: float) -> list[Flood]:
        """Return what was only counted, if another second has begun."""
        if int(time_s) == self._second:
            return []
        self._second = int(time_s)
        self._seen = {}
        if not self._counts:
            return []
        floods = [counts.flood(time_s, kind) for kind, counts in self._counts.items()]
        self._counts = {}
        return floods

    def _kept(self, kind: str, event: Any) -> Any:
        """Return an event, of a batch of flows what is left of it; None if it is only counted."""
        if type(event) is FlowBatch:
            return self._thinned(kind, event)
        if event.source in self.known or (type(event) is AuthFailure and event.strength is Strength.PROVEN):
            return event
        self._count(kind, [event])
        return None

    def _thinned(self, kind: str, batch: FlowBatch) -> FlowBatch:
        changes = {}
        for name in _FILTERED:
            flows = getattr(batch, name)
            changes[name] = kept = [flow for flow in flows if flow.source in self.known]
            if len(kept) < len(flows):
                self._count(kind, [flow for flow in flows if flow.source not in self.known])
        return msgspec.structs.replace(batch, ended=[flow_key(flow) for flow in changes["ending"]], **changes)

    def _count(self, kind: str, events: Sequence[Any]) -> None:
        self.counted_total += len(events)
        self._counts.setdefault(kind, _Counts()).add(event.source for event in events)


def weight(one: Any) -> int:
    """Return how many events an input holds, each flow of a batch being one; 0 for what is no batch."""
    if type(one) is not Events:
        return 0
    if type(one.events[0]) is not FlowBatch:
        return len(one.events)
    return sum(_flows(batch) for batch in one.events)


def _flows(batch: FlowBatch) -> int:
    flows = len(batch.opened) + len(batch.completed) + len(batch.late) + max(len(batch.ending), len(batch.ended))
    return flows + len(batch.listed) + len(batch.incomplete)
