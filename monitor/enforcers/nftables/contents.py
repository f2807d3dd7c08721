"""Compares the elements of one set in the kernel with the bans that should be in it.

Reading takes time proportional to the elements and is done off the loop; meanwhile bans come and go. So what a reading
finds is only suspected: `keeper` asks the kernel again, with the bans of that moment, before it acts.
"""

import bisect
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from monitor.enforcers import netlink
from monitor.enforcers.netlink import RawElement
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.expiry import decode_ends
from monitor.enforcers.nftables.port_bans import PortKey, keys_of
from monitor.enforcers.nftables.prefixes import pieces
from monitor.enforcers.nftables.ruleset import BAN_SETS, TABLE
from monitor.model.addresses import Address, Network
from monitor.model.bans import Ban, Mode
from monitor.model.errors import TemporaryError

MAX_FOREIGN = 1000
"""The most foreign elements that are known one by one; more are only counted."""

ENDING_S = 0.5
"""A ban that ends this soon may be gone from the kernel already."""
_SLACK_S, _SLACK_SHARE = 5.0, 0.01
_NEVER_S = float("inf")
_FOREVER_S = 50 * 365 * 86400.0
"""A ban that lasts longer than this may have an element without a timeout."""

Span: TypeAlias = tuple[int, int, float]
"""First and last address as numbers, and when it ends (wall time, seconds)."""
Found: TypeAlias = tuple[Address, Address, float | None]
"""First and last address of an element, and when it ends (wall time, seconds; None: never)."""


class Reading(NamedTuple):
    """What a reading of one set found."""

    wrong: list[Ban]
    """Bans whose element seems to be missing, or to end at another time."""
    strangers: list[Found]
    """Elements that no ban explains, at most MAX_FOREIGN."""
    more: int
    """How many more there are, about."""
    is_exact: bool
    """Whether nothing changed while it was read."""


def bans_in(name: str, bans: Iterable[Ban], now_s: float) -> list[Ban]:
    """Return the bans in force that belong into a set."""
    strength, bits, is_prefix_set = BAN_SETS[name], 32 if "4" in name else 128, name.endswith("_nets")
    return [
        ban
        for ban in bans
        if ban.strength is strength
        and not ban.network.ports
        and ban.mode is Mode.ENFORCE
        and len(ban.network.address) * 8 == bits
        and ban.network.is_host is not is_prefix_set
        and ban.until_s > now_s + ENDING_S
    ]


def ends_alike(one_s: float | None, other_s: float | None, now_s: float) -> bool:
    """Whether two ends are the same, up to rounding; None is never."""
    one_left_s, other_left_s = ((_NEVER_S if end is None else end) - now_s for end in (one_s, other_s))
    nearer_s = min(one_left_s, other_left_s)
    return nearer_s > _FOREVER_S or abs(one_left_s - other_left_s) <= _SLACK_S + _SLACK_SHARE * max(0.0, nearer_s)


def read_set(name: str, bans: Sequence[Ban], clock: Callable[[], float]) -> Reading:
    """Read a set and compare it; `bans` may include others. FileNotFoundError if there is no such set."""
    wanted = bans_in(name, bans, clock())
    return _read_prefixes(name, wanted, clock) if name.endswith("_nets") else _read_hosts(name, wanted, clock)


def _read_hosts(name: str, wanted: Sequence[Ban], clock: Callable[[], float]) -> Reading:
    """Compare a set of addresses, one message of the listing at a time: it may hold a million."""
    missing = {ban.network.address: ban for ban in wanted}
    ours = missing.copy()
    wrong: list[Ban] = []
    strangers: list[Found] = []
    more = 0
    for _, body in listing.bodies(name, must_be_exact=False):
        part: dict[Address, int | None] = {}
        decode_ends(body, part)
        now_s = clock()
        for address, left_ms in part.items():
            end_s = None if left_ms is None else now_s + left_ms / 1000
            if (ban := ours.get(address)) is None:
                more += len(strangers) >= MAX_FOREIGN
                strangers += [(address, address, end_s)] if len(strangers) < MAX_FOREIGN else []
            elif missing.pop(address, None) and not ends_alike(end_s, ban.until_s, now_s):
                wrong.append(ban)
    return Reading(wrong + list(missing.values()), strangers, more, is_exact=False)


def _read_prefixes(name: str, wanted: Sequence[Ban], clock: Callable[[], float]) -> Reading:
    try:
        found, is_exact = read_intervals(name, clock), True
    except TemporaryError:  # others change nf_tables all the time
        found, is_exact = read_intervals(name, clock, must_be_exact=False), False
    now_s = clock()
    wrong, strangers = compare_prefixes(wanted, found, now_s)
    return Reading(wrong, strangers[:MAX_FOREIGN], max(0, len(strangers) - MAX_FOREIGN), is_exact)


def read_port_bans(bans: Iterable[Ban], clock: Callable[[], float]) -> list[Ban]:
    """Return the bans of some ports of which an element is missing or ends too early or too late.

    Two bans of one network and port share an element, which ends with the later one. FileNotFoundError if there is no
    such set.
    """
    now_s = clock()
    wanted = [ban for ban in bans if ban.network.ports and ban.mode is Mode.ENFORCE and ban.until_s > now_s + ENDING_S]
    ends: dict[PortKey, float] = {}
    for ban in wanted:
        for key in keys_of(ban.network, ban.strength):
            ends[key] = max(ban.until_s, ends.get(key, 0.0))
    held = listing.read_port_elements()
    now_s = clock()
    right = set()
    for key, until_s in ends.items():
        if (found := held[key[0]].get(key[1])) is not None:
            end_s = None if found.remaining_ms is None else now_s + found.remaining_ms / 1000
            if ends_alike(end_s, until_s, now_s):
                right.add(key)
    return [ban for ban in wanted if not right.issuperset(keys_of(ban.network, ban.strength))]


def read_intervals(
    name: str, clock: Callable[[], float] = time.time, *, must_be_exact: bool = True, table: str = TABLE
) -> list[Found]:
    """Read the intervals of a set, in order; TemporaryError if they must be exact and nf_tables keeps changing."""
    raw: list[RawElement] = []
    for is_new, body in listing.bodies(name, must_be_exact=must_be_exact, table=table):
        if is_new:
            raw.clear()
        raw += netlink.decode_elements(body)
    now_s = clock()
    return [
        (first, last, None if one.remaining_ms is None else now_s + one.remaining_ms / 1000)
        for first, last, one in listing.intervals(raw)
    ]


def compare_prefixes(wanted: Sequence[Ban], found: Sequence[Found], now_s: float) -> tuple[list[Ban], list[Found]]:
    """Return the bans that the intervals found do not enforce to their end, and the intervals that no ban explains.

    How prefixes that overlap are divided into intervals does not matter, only until when each address is banned.
    """
    ends = {ban.network: ban.until_s for ban in wanted}
    due = sorted((*_numbers(network), end_s) for network, end_s in pieces(ends).items())
    held = sorted((*_ends_of(first, last), _NEVER_S if end_s is None else end_s) for first, last, end_s in found)
    lacking = sorted(part for part in due if not _is_covered(part, held, now_s))
    starts = [first for first, _, _ in lacking]
    wrong = [ban for ban in wanted if _meets(*_numbers(ban.network), lacking, starts)]
    strangers = [
        one
        for one in found
        if not _is_covered((*_ends_of(one[0], one[1]), _NEVER_S if one[2] is None else one[2]), due, now_s)
    ]
    return wrong, strangers


def union(networks: Iterable[tuple[Address, Address]]) -> list[tuple[int, int, int]]:
    """Return the addresses of ranges, whatever their division: address length, first and last of each gapless run."""
    merged: list[tuple[int, int, int]] = []
    for size, first, last in sorted((len(one), *_ends_of(one, other)) for one, other in networks):
        if merged and merged[-1][0] == size and first <= merged[-1][2] + 1:
            merged[-1] = (size, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((size, first, last))
    return merged


def _numbers(network: Network) -> tuple[int, int]:
    return _ends_of(network.address, network.last())


def _ends_of(first: Address, last: Address) -> tuple[int, int]:
    return int.from_bytes(first), int.from_bytes(last)


def _is_covered(part: Span, others: Sequence[Span], now_s: float) -> bool:
    """Whether all addresses of a span are in others (sorted, disjoint) that end about as late or later."""
    first, last, end_s = part
    covered = 0
    for index in range(max(0, bisect.bisect_right(others, (first, _NEVER_S, _NEVER_S)) - 1), len(others)):
        other_first, other_last, other_end_s = others[index]
        if other_first > last:
            break
        if other_end_s >= end_s or ends_alike(other_end_s, end_s, now_s):
            covered += max(0, min(last, other_last) - max(first, other_first) + 1)
    return covered == last - first + 1


def _meets(first: int, last: int, parts: Sequence[Span], starts: Sequence[int]) -> bool:
    """Whether a range has an address in common with one of these parts (sorted, disjoint)."""
    at = bisect.bisect_right(starts, last) - 1
    return at >= 0 and parts[at][1] >= first
