"""A simple model of the bans that should be in force, and a comparison of two sets of bans."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from monitor.model.addresses import Network, host, network_of, parse_network
from monitor.model.alerts import Strength

Key: TypeAlias = tuple[Network, Strength]
Ends: TypeAlias = Mapping[Key, float]
"""The expiry of each ban (wall time, seconds)."""

TOLERANCE_S = 2.5
"""At a start the daemon takes ends within two seconds for the same; half a second is for timers and a busy node."""
ALLOWLIST = tuple(map(parse_network, ("20.0.3.0/28", "20.0.5.7", "20.1.0.0/24", "2400::1:0:0:0:7", "2400:0:0:2::/64")))


def faults(expected: Ends, found: Ends, now_s: float) -> list[str]:
    """Return the differences of two sets of bans: hosts one by one, prefixes by the addresses they cover.

    Expired bans are ignored. An expiry may differ by `TOLERANCE_S`, so a ban with less than that left may be missing.
    """
    hosts = [_as_of(ends, now_s) for ends in (expected, found)]
    result = [
        f"{network} {strength.value}: expected {_left(wanted_s, now_s)}, found {_left(end_s, now_s)}"
        for network, strength in hosts[0].keys() | hosts[1].keys()
        if abs(
            (wanted_s := hosts[0].get((network, strength), now_s)) - (end_s := hosts[1].get((network, strength), now_s))
        )
        > TOLERANCE_S
    ]
    for strength in Strength:
        for bits in (32, 128):
            intervals = [_intervals(ends, strength, bits, now_s) for ends in (expected, found)]
            borders = sorted({border for start, end, _ in (*intervals[0], *intervals[1]) for border in (start, end)})
            ends_at = [_ends_at(part, borders, now_s) for part in intervals]
            result += [
                f"{host(border.to_bytes(bits // 8))} {strength.value}, in prefixes: "
                f"expected {_left(wanted_s, now_s)}, found {_left(end_s, now_s)}"
                for border, wanted_s, end_s in zip(borders, *ends_at, strict=True)
                if abs(wanted_s - end_s) > TOLERANCE_S
            ]
    return result


def _as_of(ends: Ends, now_s: float) -> dict[Key, float]:
    return {key: max(end_s, now_s) for key, end_s in ends.items() if key[0].is_host}


def _left(end_s: float, now_s: float) -> str:
    return f"{end_s - now_s:.1f} s" if end_s > now_s else "nothing"


def _intervals(ends: Ends, strength: Strength, bits: int, now_s: float) -> list[tuple[int, int, float]]:
    """Return first address, the address after the last, and expiry of each unexpired prefix of a kind."""
    return [
        (start := int.from_bytes(network.address), start + (1 << (bits - network.prefix_length)), end_s)
        for (network, its_strength), end_s in ends.items()
        if not network.is_host and network.bits == bits and its_strength is strength and end_s > now_s
    ]


def _ends_at(intervals: list[tuple[int, int, float]], borders: Sequence[int], now_s: float) -> list[float]:
    """Return the latest expiry of the intervals around each of these addresses, `now_s` if there is none."""
    result = []
    waiting = sorted(intervals, reverse=True)
    around: list[tuple[float, int]] = []
    for border in borders:
        while waiting and waiting[-1][0] <= border:
            _, last, end_s = waiting.pop()
            heapq.heappush(around, (-end_s, last))
        while around and around[0][1] <= border:
            heapq.heappop(around)
        result.append(-around[0][0] if around else now_s)
    return result


class Model:
    """The bans that should be in force, by the documented rules for orders of operators."""

    def __init__(self) -> None:
        self.ends: dict[Key, float] = {}
        self.saved: dict[Key, float] = {}
        """The bans in force when the store was last written."""
        self._lengths: Counter[tuple[int, int]] = Counter()

    def order(self, network: Network, strength: Strength, until_s: float, now_s: float) -> None:
        """Ban a network, unless it is allowed or a ban around it lasts as long; never shorten a ban."""
        if any(allowed.overlaps(network) for allowed in ALLOWLIST):
            return
        enough = {strength} if strength is Strength.DESTINATION else {strength, Strength.PROVEN}
        for around in self._around(network):
            for other in enough:
                if (end_s := self.ends.get((around, other), 0.0)) > now_s and end_s >= until_s:
                    return
        current_s = self.ends.get((network, strength), 0.0)
        self._put((network, strength), max(until_s, current_s if current_s > now_s else 0.0))

    def lift(self, network: Network) -> None:
        """Lift the bans of exactly this network."""
        for strength in Strength:
            self._drop((network, strength))

    def expire(self, now_s: float) -> None:
        """Forget expired bans."""
        for key in [key for key, end_s in self.ends.items() if end_s <= now_s]:
            self._drop(key)

    def replace(self, ends: Ends) -> None:
        """Start again with these bans."""
        self.ends = dict(ends)
        self._lengths = Counter((n.bits, n.prefix_length) for n, _ in ends if not n.is_host)

    def _around(self, network: Network) -> Iterator[Network]:
        yield network
        for bits, length in self._lengths:
            if bits == network.bits and length < network.prefix_length:
                yield network_of(network.address, length)

    def _put(self, key: Key, until_s: float) -> None:
        if key not in self.ends and not key[0].is_host:
            self._lengths[key[0].bits, key[0].prefix_length] += 1
        self.ends[key] = until_s

    def _drop(self, key: Key) -> None:
        if self.ends.pop(key, None) is not None and not key[0].is_host:
            shape = key[0].bits, key[0].prefix_length
            self._lengths[shape] -= 1
            if not self._lengths[shape]:
                del self._lengths[shape]
