"""Failures: one source fails too often in one application (what fail2ban calls a jail)."""

from collections.abc import Iterable, Sequence
from itertools import count

import msgspec

from monitor.detectors.scoring import SAMPLE_SIZE, Scores
from monitor.model.addresses import Address, Network, fold_mapped, network_of
from monitor.model.alerts import Alert, Strength
from monitor.model.events import AuthFailure
from monitor.model.window import Crossing, WindowStats

_SERIAL_BYTES = 8
_USER_BYTES = 48
_SHORTEST_PREFIX = {4: 16, 16: 32}
"""By length of the address: no line of a log is good enough to ban more than this."""
_MAPPED_BITS = 96
_FORGEABLE = b"\0"
"""Ends the keys of evidence that anyone can forge: it never adds to what is proven."""


class FailureThresholds(msgspec.Struct, frozen=True):
    """When to fire: `maxretry` failures within `findtime_s`; at most `max_entries` are remembered."""

    findtime_s: float
    maxretry: int
    max_entries: int
    ipv6_prefix: int = 64
    """IPv6 sources are scored by prefixes of this length too (a multiple of 8): a host can use all of its /64."""


class FailuresDetector:
    """Fires when the failures of one source reach the threshold; forgets it then, so it can fire again."""

    def __init__(self, name: str, thresholds: FailureThresholds) -> None:
        """Take the name, which its events carry, and when to fire."""
        self.name = name
        self.thresholds = thresholds
        self.ignored_networks_total = 0
        """Failures not counted because they name a network larger than allowed, or none that can be."""
        self._scores = Scores(
            findtime_s=thresholds.findtime_s,
            maxretry=thresholds.maxretry,
            max_entries=thresholds.max_entries,
            ipv6_prefix=thresholds.ipv6_prefix,
        )
        self._prefix_bytes = thresholds.ipv6_prefix // 8
        self._prefix_end = bytes(16 - self._prefix_bytes) + bytes((thresholds.ipv6_prefix,))
        # Every failure counts, so each is an item of its own, with the name that was tried behind its number.
        self._serials = count()

    @property
    def stats(self) -> WindowStats:
        """What the window counted."""
        return self._scores.stats

    def feed(self, events: Sequence[AuthFailure]) -> list[Alert]:
        """Take a batch of events, return the alerts it raised; other detectors' events are passed over."""
        alerts = []
        name, add = self.name, self._scores.window.add
        for event in events:
            if event.detector != name:
                continue
            source = event.source
            item = next(self._serials).to_bytes(_SERIAL_BYTES)
            if event.user:
                item += event.user.encode(errors="replace")[:_USER_BYTES]
            if event.prefix_length is not None or len(source) != 4:
                alert = self._feed_wide(event, item)
                if alert is not None:
                    alerts.append(alert)
                continue
            key = source if event.strength is Strength.PROVEN else source + _FORGEABLE
            crossing = add(key, item, event.time_s)
            if crossing is not None:
                alerts.append(self._alert(event, crossing, source, self._scores.network(source), is_alone=True))
        return alerts

    def count(self, source: Address) -> int:
        """Return how many failures of this source are remembered, of the stronger or the more frequent kind."""
        window = self._scores.window
        return max(window.count(source), window.count(source + _FORGEABLE))

    def _feed_wide(self, event: AuthFailure, item: bytes) -> Alert | None:
        """Take an event of IPv6, or one that names a network."""
        source = fold_mapped(event.source)
        mark = b"" if event.strength is Strength.PROVEN else _FORGEABLE
        length = event.prefix_length
        if length is not None:
            if len(source) == 4 and length > 32:
                length -= _MAPPED_BITS
            if not _SHORTEST_PREFIX[len(source)] <= length <= len(source) * 8:
                self.ignored_networks_total += 1
                return None
            if length < len(source) * 8:
                return self._add_network(event, network_of(source, length), item, mark)
        scores = self._scores
        crossing = scores.window.add(source + mark, item, event.time_s)
        is_alone = crossing is not None
        if not is_alone and len(source) == 16 and scores.has_prefixes:
            prefix_key = source[: self._prefix_bytes] + self._prefix_end + mark
            crossing = scores.add_to_prefix(source + mark, prefix_key, item, event.time_s)
        if crossing is None:
            return None
        return self._alert(event, crossing, source, scores.network(source), is_alone=is_alone)

    def _add_network(self, event: AuthFailure, network: Network, item: bytes, mark: bytes) -> Alert | None:
        """Count a failure of a whole network: it is banned as one or, where the allowlist overlaps it, not at all."""
        key = network.address + bytes((network.prefix_length,)) + mark
        crossing = self._scores.window.add(key, item, event.time_s)
        return None if crossing is None else self._alert(event, crossing, network.address, network, is_alone=False)

    def _alert(
        self, event: AuthFailure, crossing: Crossing, source: Address, network: Network, *, is_alone: bool
    ) -> Alert:
        what = f"failures in {self.name} ({_printable(event.log)})"
        evidence = self._scores.evidence(crossing, what, _users(crossing.items))
        return Alert(self.name, event.time_s, source, network, is_alone, event.strength, evidence)


def _users(items: Iterable[bytes]) -> tuple[str, ...]:
    """Return the names that were tried, each once, in order."""
    names = dict.fromkeys(item[_SERIAL_BYTES:] for item in items)
    names.pop(b"", None)
    return tuple(_printable(name.decode(errors="ignore")) for name in list(names)[:SAMPLE_SIZE])


def _printable(text: str) -> str:
    """Escape what attackers could send to a terminal with it."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
