"""Long-time clients: sources that worked with the node in many hours, as a recording of days shows them. Pure.

Every attacker who guesses passwords completes handshakes, and a scanner does so at each open port. So a source is a
client in an hour only if it completed at least ten times as many handshakes as there is evidence against it in that
hour. And nobody is a client of long standing who came only once: what counts are hours before and after a ban.

A scanner that looks at an open port now and then is none either: over all hours a client has no more proven failures
than it completed handshakes in hours of a client. What anyone can forge does not count there.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from monitor.model.addresses import Address, Network, origin_key
from monitor.model.alerts import Strength
from monitor.model.crowds import SHARE, networks_of_origin
from monitor.model.events import AuthFailure, DropsObserved, PacketLogged
from monitor.model.flows import FlowBatch, FlowIncomplete

MAX_SOURCES = 65_536
"""The most origins that are remembered, and the most of each kind within an hour."""
_HOUR_S = 3600.0
_CLEAN_RATIO = 10
"""Handshakes for each event that counts against their source, in an hour of a client."""
_LEAST_HOURS = 3
_LEAST_SPAN_H = 24
"""A client of long standing, whatever time is asked about, has three such hours, the first and last a day apart."""
_FORGET_H = 24
"""After this many hours, sources that came only once make room for others."""

_ACCUSING = frozenset({PacketLogged, AuthFailure, FlowIncomplete})
_CHUNK = 1024
"""Sources that are counted before the bound is checked again."""
_source = attrgetter("source")


class _Known(msgspec.Struct, gc=False):
    """An origin, by hours since the epoch."""

    first: int
    last: int
    clean: int = 0
    other: int = 0
    worked: int = 0
    """Handshakes in clean hours."""
    proven: int = 0
    """Failures that nobody else can have caused, in any hour since the first clean one."""


class ClientHistory:
    """Counts the hours in which each source was a client; memory is bounded however long the recording is."""

    def __init__(self, ipv6_prefix: int = 64, max_sources: int = MAX_SOURCES) -> None:
        """Know of none; the addresses of an IPv6 prefix of this length (a multiple of 8) are one origin."""
        self.refused_total = 0
        """How often a source was left out because there was no room."""
        self._prefix_bytes = ipv6_prefix // 8
        self._max_sources = max_sources
        self._hour = -1
        self._completed: Counter[Address] = Counter()
        self._accused: Counter[Address] = Counter()
        self._proven: Counter[Address] = Counter()
        self._known: dict[bytes, _Known] = {}
        self._taken: Counter[bytes] = Counter()
        """Origins in `_known` by network."""
        self._sorted: dict[int, list[bytes]] | None = None

    def __len__(self) -> int:
        """Return how many origins are remembered."""
        return len(self._known)

    def take(self, events: Sequence[Any], time_s: float) -> None:
        """Take events of one type, at least one, at their wall time in seconds."""
        kind = type(events[0])
        if kind is FlowBatch:
            for batch in events:
                self.take_flows(batch, time_s)
        elif kind in _ACCUSING:
            self._turn(time_s)
            self._count(self._accused, map(_source, events))
            if kind is AuthFailure:
                self._count(self._proven, (one.source for one in events if one.strength is Strength.PROVEN))
        elif kind is DropsObserved:
            self._turn(time_s)
            probes = (one.source for one in events if one.stealth_ports or one.closed_ports)
            self._count(self._accused, probes)

    def take_flows(self, batch: FlowBatch, time_s: float) -> None:
        """Take what a poll of connection tracking yielded."""
        self._turn(time_s)
        for flows in (batch.completed, batch.late, batch.listed):
            self._count(self._completed, map(_source, flows))
        self._count(self._accused, map(_source, batch.incomplete))

    def take_flood(self, sources: Iterable[tuple[bytes, int]], time_s: float) -> None:
        """Take events of which the recording has only the number, by source."""
        self._turn(time_s)
        for source, count in sources:
            if source in self._accused or len(self._accused) < self._max_sources:
                self._accused[source] += count

    def finish(self) -> None:
        """Take the last hour for complete: the recording ends here."""
        self._close()
        self._hour = -1

    def _count(self, into: Counter[Address], sources: Iterator[Address]) -> None:
        """Count sources; once there are more than fit, only those that are known already."""
        while len(into) < self._max_sources:
            chunk = list(islice(sources, _CHUNK))
            if not chunk:
                return
            into.update(chunk)
        for source in sources:
            if source in into:
                into[source] += 1
            else:
                self.refused_total += 1

    def _turn(self, time_s: float) -> None:
        """Close the hour before, if another one has started; a clock that was set back starts one, too."""
        hour = int(time_s // _HOUR_S)
        if hour != self._hour:
            self._close()
            self._hour = hour

    def _close(self) -> None:
        completed, accused = self._by_origin(self._completed), self._by_origin(self._accused)
        if len(self._known) >= self._max_sources // 2:
            self._forget()
        for origin, count in completed.items():
            is_clean = count >= _CLEAN_RATIO * accused.get(origin, 0)
            known = self._known.get(origin)
            if known is None:
                if not is_clean:
                    continue  # an attacker takes no room
                if not self._has_room(origin):
                    self.refused_total += 1
                    continue
                known = self._known[origin] = _Known(self._hour, self._hour)
            if is_clean:
                known.clean += 1
                known.worked += count
                known.first, known.last = min(known.first, self._hour), max(known.last, self._hour)
            else:
                known.other += 1
        for origin, failures in self._by_origin(self._proven).items():
            if (known := self._known.get(origin)) is not None:
                known.proven += failures
        self._completed.clear()
        self._accused.clear()
        self._proven.clear()
        self._sorted = None

    def _by_origin(self, counts: Counter[Address]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for source, count in counts.items():
            origin = origin_key(source, self._prefix_bytes)
            found[origin] = found.get(origin, 0) + count
        return found

    def _has_room(self, origin: bytes) -> bool:
        """Whether one more origin of its networks may become known; counts it if so."""
        narrow, wide = networks_of_origin(origin)
        share, taken = self._max_sources // SHARE, self._taken
        if len(self._known) >= self._max_sources or taken[narrow] >= share or taken[wide] >= 2 * share:
            return False
        taken.update((narrow, wide))
        return True

    def _forget(self) -> None:
        """Forget sources that were here in one hour only, a day ago or longer."""
        old = [one for one, known in self._known.items() if known.clean < 2 and known.last < self._hour - _FORGET_H]
        for origin in old:
            del self._known[origin]
            self._taken.subtract(networks_of_origin(origin))
        self._taken = +self._taken

    def is_client(self, network: Network, at_s: float | None = None) -> bool:
        """Whether a network has a client, by the hours that are over.

        It was one before the hour of `at_s` (wall time, seconds) and after it; None: it is one of long standing.
        """
        hour = None if at_s is None else int(at_s // _HOUR_S)
        return any(self._is_known(self._known[origin], hour) for origin in self._origins(network))

    @staticmethod
    def _is_known(known: _Known, hour: int | None) -> bool:
        if known.other > known.clean or known.proven > known.worked:
            return False
        if hour is None:
            return known.clean >= _LEAST_HOURS and known.last - known.first >= _LEAST_SPAN_H
        return known.first < hour < known.last

    def _origins(self, network: Network) -> list[bytes]:
        """Return the known origins that overlap a network."""
        size = 4 if len(network.address) == 4 else self._prefix_bytes
        if network.prefix_length >= 8 * size:
            origin = network.address[:size]
            return [origin] if origin in self._known else []
        if self._sorted is None:
            self._sorted = {4: [], self._prefix_bytes: []}
            for origin in sorted(self._known):
                self._sorted[len(origin)].append(origin)
        found = self._sorted[size]
        return found[bisect_left(found, network.address[:size]) : bisect_right(found, network.last()[:size])]
