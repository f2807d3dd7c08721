"""Sets of values that a match takes: numbers and addresses as intervals, everything else as names.

Read from libnftables-json(5): a constant, a set, a range or a prefix. What is not one of these has no values here.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

PORT, BYTE, V4, V6, WORD = 2**16 - 1, 2**8 - 1, 2**32 - 1, 2**128 - 1, 2**32 - 1
"""The highest numbers of ports, bytes, addresses and marks."""


class Values(msgspec.Struct, frozen=True):
    """A set of values: intervals of numbers, or names that are in it, or names that are not."""

    intervals: tuple[tuple[int, int], ...] | None = None
    names: frozenset[Any] = frozenset()
    is_negated: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no value is in it."""
        return not self.intervals if self.intervals is not None else not (self.names or self.is_negated)

    @property
    def only(self) -> Any:
        """The value, if there is one only; None otherwise."""
        if self.intervals is not None:
            return self.intervals[0][0] if len(self.intervals) == 1 and len(set(self.intervals[0])) == 1 else None
        return next(iter(self.names)) if len(self.names) == 1 and not self.is_negated else None

    def is_within(self, other: "Values") -> bool:
        """Whether each value of this set is in the other one."""
        if self.intervals is not None or other.intervals is not None:
            if self.intervals is None or other.intervals is None:
                return False
            return all(
                any(low <= first and last <= high for low, high in other.intervals) for first, last in self.intervals
            )
        if self.is_negated:
            return other.is_negated and other.names <= self.names
        return not (self.names & other.names) if other.is_negated else self.names <= other.names

    def common(self, other: "Values") -> "Values | None":
        """Return the values in both; None if the sets are of different kinds."""
        if self.intervals is not None and other.intervals is not None:
            both = [
                (max(a, c), min(b, d)) for a, b in self.intervals for c, d in other.intervals if max(a, c) <= min(b, d)
            ]
            return Values(merged(both))
        if self.intervals is not None or other.intervals is not None:
            return None
        if self.is_negated and other.is_negated:
            return Values(names=self.names | other.names, is_negated=True)
        if self.is_negated:
            return Values(names=other.names - self.names)
        return Values(names=self.names - other.names if other.is_negated else self.names & other.names)

    def others(self, highest: int) -> "Values":
        """Return the numbers up to the highest that are not in it."""
        return Values(_complement(self.intervals or (), highest))

    def holds(self, value: Any) -> bool:
        """Whether a value is in it."""
        if self.intervals is not None:
            return isinstance(value, int) and any(low <= value <= high for low, high in self.intervals)
        return (value in self.names) is not self.is_negated


def only(one: Any) -> tuple[str, Any]:
    """Return the kind and the content of an expression; an empty kind if it is none."""
    if isinstance(one, dict) and len(one) == 1:
        kind, body = next(iter(one.items()))
        return str(kind), body
    return "", None


def names(right: Any, operator: str) -> Values | None:
    """Return the names that a match takes; None if one has a wildcard, or several are bits of one value."""
    kind, body = only(right)
    items = body if kind == "set" else right if isinstance(right, list) else [right]
    if not isinstance(items, list) or (isinstance(right, list) and operator != "in"):
        return None
    for item in items:
        if not isinstance(item, str | int) or (isinstance(item, str) and ("*" in item or item.startswith("@"))):
            return None
    return Values(names=frozenset(items), is_negated=operator == "!=")


def numbers(right: Any, operator: str, highest: int) -> Values | None:
    """Return the numbers that a match takes, up to the highest there is; None if they cannot be known."""
    kind, body = only(right)
    items = body if kind == "set" else [right]
    if not isinstance(items, list):
        return None
    found = []
    for item in items:
        interval = _interval(item, highest)
        if interval is None:
            return None
        found.append(interval)
    intervals = merged(found)
    return Values(_complement(intervals, highest) if operator == "!=" else intervals)


def _interval(item: Any, highest: int) -> tuple[int, int] | None:
    kind, body = only(item)
    if kind == "elem" and isinstance(body, dict):
        return None  # with a timeout or counter: it may go
    if kind == "range" and isinstance(body, list) and len(body) == 2:
        first, last = _number(body[0], highest), _number(body[1], highest)
        return None if first is None or last is None or first > last else (first, last)
    if kind == "prefix" and isinstance(body, dict):
        low, length = _number(body.get("addr"), highest), body.get("len")
        bits = highest.bit_length()
        if low is None or type(length) is not int or not 0 <= length <= bits:
            return None
        size = 1 << bits - length
        return low & ~(size - 1), (low & ~(size - 1)) + size - 1
    value = _number(item, highest)
    return None if value is None else (value, value)


def _number(one: Any, highest: int) -> int | None:
    if type(one) is int:
        return one if 0 <= one <= highest else None
    if isinstance(one, str) and highest in (V4, V6):
        try:
            address = ipaddress.ip_address(one)
        except ValueError:
            return None
        return int(address) if address.max_prefixlen == highest.bit_length() else None
    return None


def merged(intervals: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return intervals in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return tuple(found)


def _complement(intervals: Sequence[tuple[int, int]], highest: int) -> tuple[tuple[int, int], ...]:
    found, start = [], 0
    for low, high in intervals:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= highest:
        found.append((start, highest))
    return tuple(found)
