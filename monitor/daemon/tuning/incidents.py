"""Incidents: bans of one network that answer the same offence, under either of two configurations. Pure.

What counts is whether a source could reach the node, not how many decisions said so. So bans of one network that
overlap are one incident, whatever their number: a configuration with longer bans loses none of the short ones. Bans
that do not overlap but start within an hour of each other are the same incident as well, which one of the two
configurations found later.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from monitor.daemon.tuning.ban_history import Span
from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength

_SAME_S = 3600.0
"""Bans of one network that start within this time of each other answer the same offence."""

Rank: TypeAlias = tuple[bool, bool]
Incident: TypeAlias = tuple[list[Span], list[Span]]
"""The spans of the old and of the new configuration that belong together; at least one."""


def incidents(old: Iterable[Span], new: Iterable[Span]) -> Iterator[tuple[Network, list[Incident]]]:
    """Yield each network with its incidents; what is refused towards a network is not what is refused from it."""
    spans: dict[tuple[Network, bool], list[tuple[Span, int]]] = {}
    for number, side in enumerate((old, new)):
        for span in side:
            key = span.network.whole, span.strength is Strength.DESTINATION
            spans.setdefault(key, []).append((span, number))
    for (network, _), found in spans.items():
        found.sort(key=lambda one: one[0].since_s)
        yield network, _paired(_overlapping(found))


def _overlapping(spans: Sequence[tuple[Span, int]]) -> Iterator[Incident]:
    """Yield spans that overlap or touch, in order of time."""
    current: Incident = [], []
    end_s = float("-inf")
    for span, number in spans:
        if span.since_s > end_s and any(current):
            yield current
            current = [], []
        current[number].append(span)
        end_s = max(end_s, span.until_s)
    if any(current):
        yield current


def _paired(incidents: Iterable[Incident]) -> list[Incident]:
    """Join neighbours of which each configuration has one, if they start within an hour."""
    joined: list[Incident] = []
    for incident in incidents:
        if joined and _is_same(joined[-1], incident):
            joined[-1] = joined[-1][0] + incident[0], joined[-1][1] + incident[1]
        else:
            joined.append(incident)
    return joined


def _is_same(earlier: Incident, later: Incident) -> bool:
    is_split = (not earlier[1] and not later[0]) or (not earlier[0] and not later[1])
    starts = (min(span.since_s for some in one for span in some) for one in (earlier, later))
    first_s, second_s = starts
    return is_split and second_s - first_s <= _SAME_S


class Wider:
    """The bans of networks wider than an address, asked for what covers a ban."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._by_network: dict[Network, list[Span]] = {}
        for span in spans:
            if not (span.is_observed or span.network.ports or span.network.is_host):
                self._by_network.setdefault(span.network, []).append(span)
        lengths = {(len(one.address), one.prefix_length) for one in self._by_network}
        self._lengths = {size: sorted(length for of, length in lengths if of == size) for size in (4, 16)}

    def covers(self, network: Network, since_s: float, least: Rank) -> bool:
        """Whether a wider network was banned, as strongly, at a time (wall time, seconds) or within the hour after."""
        for length in self._lengths[len(network.address)]:
            if length >= network.prefix_length:
                return False
            for span in self._by_network.get(network_of(network.address, length), ()):
                is_in_time = span.since_s <= since_s + _SAME_S and span.until_s > since_s
                if is_in_time and rank(span.strength, is_whole=True) >= least:
                    return True
        return False


def rank(strength: Strength, *, is_whole: bool) -> Rank:
    """Return how much is refused: a ban of all ports is more than a shun, and that more than a ban of some."""
    return is_whole, strength is not Strength.SPOOFABLE
