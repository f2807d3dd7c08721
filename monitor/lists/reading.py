"""Reads a whole list: from lines to packed networks, and an account of what is not taken, by reason. Pure.

A million lines cost about three seconds and 100 MB: addresses are kept as numbers with their prefix length in the low
bits, so that sorting brings wider networks first.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from socket import AF_INET, inet_pton
from typing import NamedTuple

import msgspec

from monitor.lists.faults import ListCause, ListFault
from monitor.lists.file import PackedNetworks
from monitor.lists.formats import AddressRange, LineReader
from monitor.lists.never import Never, networks_of, within
from monitor.model.addresses import Network, network_between
from monitor.model.printable import printable

WIDEST = {4: 8, 16: 19}
"""The shortest prefixes that are taken, by size of address; wider ones must be named in `wider`."""
BAD, WIDE, DUPLICATE, CUT = "not readable", "too wide", "listed twice", "kept in part"
"""Why a line is not taken, besides the reasons of `never`; CUT: it is, but for what must never be banned."""
_MAX_BAD, _MAX_BAD_SHARE = 10, 0.05
_SLACK = 2
"""How many times `max` is kept until duplicates are counted."""
_CHECKED_EVERY = 1024
_EXAMPLES, _EXAMPLE_CHARS = 5, 100
_ALL = {4: 1 << 32, 16: 1 << 125}
_LENGTH_BITS = {4: 6, 16: 8}


class Account(msgspec.Struct):
    """What became of the lines of a list."""

    lines: int = 0
    entries: int = 0
    """Lines that name networks."""
    taken: int = 0
    """Networks that are taken; a range is several."""
    share4: float = 0.0
    """The share of all addresses of IPv4 that they cover, 0 to 1."""
    share6: float = 0.0
    """The same for global unicast addresses of IPv6."""
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """How many are not taken, by reason."""
    examples: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """The first few of each reason, for people; escaped and bounded."""
    licence: str = ""


class Reading(NamedTuple):
    """A list that can be read."""

    networks: PackedNetworks
    account: Account


def read(
    lines: Iterable[str], reader: LineReader, never: Never, *, limit: int, wider: Sequence[Network] = ()
) -> Reading:
    """Return what is taken of a list; ListFault if it cannot be used as a whole.

    `limit` is the most networks, `wider` what may be wider than the limits.
    """
    return _Reading(reader, never, limit, wider).read(lines)


class _Reading:
    def __init__(self, reader: LineReader, never: Never, limit: int, wider: Sequence[Network]) -> None:
        self._reader = reader
        self._never = never
        self._limit = limit
        self._wider = wider
        self._account = Account()
        self._reasons: Counter[str] = Counter()
        self._keys4: array[int] = array("Q")
        self._keys16: list[int] = []

    def read(self, lines: Iterable[str]) -> Reading:
        self._take_lines(lines)
        account = self._account
        self._check_lines()
        self._reader.finish(account.entries)
        v4, v4_lengths, covered = array("I"), bytearray(), 0
        for number, length in self._merged(sorted(self._keys4), 4):
            v4.append(number)
            v4_lengths.append(length)
            covered += 1 << (32 - length)
        account.share4 = covered / _ALL[4]
        self._keys4 = array("Q")
        v6, v6_lengths, covered = bytearray(), bytearray(), 0
        self._keys16.sort()
        for number, length in self._merged(self._keys16, 16):
            v6 += number.to_bytes(16)
            v6_lengths.append(length)
            covered += 1 << (128 - length)
        account.share6 = covered / _ALL[16]
        networks = PackedNetworks(v4, bytes(v4_lengths), bytes(v6), bytes(v6_lengths))
        account.taken = networks.total
        account.licence = self._reader.licence
        account.reasons = dict(self._reasons.most_common())
        if account.taken > self._limit:
            raise _full(f"{account.taken}", self._limit)
        if not account.taken:
            raise _nothing(account)
        return Reading(networks, account)

    def _take_lines(self, lines: Iterable[str]) -> None:
        account, parse, has_bare = self._account, self._reader.read, self._reader.takes_bare
        for line in lines:
            account.lines += 1
            host = _bare_host(line) if has_bare else None
            if host is not None:
                account.entries += 1
                self._keys4.append(host)
            else:
                try:
                    entry = parse(line)
                except ValueError as error:
                    self._refuse(BAD, f"line {account.lines}: {error}")
                    continue
                if entry is not None:
                    account.entries += 1
                    self._add(entry)
            if not account.lines % _CHECKED_EVERY:
                self._check_size()
        self._check_size()

    def _check_size(self) -> None:
        if len(self._keys4) + len(self._keys16) > self._limit * _SLACK:
            raise _full("many", self._limit)

    def _add(self, entry: Network | AddressRange) -> None:
        if isinstance(entry, AddressRange):
            entry = network_between(entry.first, entry.last) or entry
        size = len(entry[0] if isinstance(entry, AddressRange) else entry.address)
        if isinstance(entry, Network) and entry.prefix_length >= WIDEST[size]:
            self._add_key(int.from_bytes(entry.address), entry.prefix_length, size)
            return
        first, last = entry if isinstance(entry, AddressRange) else (entry.address, entry.last())
        low, high = int.from_bytes(first), int.from_bytes(last)
        if high - low >= 1 << (8 * size - WIDEST[size]) and not within(low, high, size, self._wider):
            self._refuse(WIDE, f"line {self._account.lines}: {_show(entry)}")
            return
        for number, length in networks_of(low, high, 8 * size):
            self._add_key(number, length, size)

    def _add_key(self, number: int, length: int, size: int) -> None:
        (self._keys4 if size == 4 else self._keys16).append(number << _LENGTH_BITS[size] | length)

    def _check_lines(self) -> None:
        bad = self._reasons[BAD]
        if bad > _MAX_BAD and bad > _MAX_BAD_SHARE * (bad + self._account.entries):
            example = self._account.examples[BAD][0]
            raise ListFault(
                ListCause.LINES,
                f"{bad} of {bad + self._account.entries} lines cannot be read; is `format` right? {example}",
            )

    def _merged(self, keys: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
        """Yield sorted networks without those inside others, and without what must never be banned."""
        bits, low_bits = 8 * size, _LENGTH_BITS[size]
        mask, end = (1 << low_bits) - 1, -1
        for key in keys:
            number, length = key >> low_bits, key & mask
            if number <= end:
                self._refuse(DUPLICATE)
                continue
            end = number + (1 << (bits - length)) - 1
            overlap = self._never.overlap(number, end, size)
            if overlap is None:
                yield number, length
                continue
            shown = _show(Network(number.to_bytes(size), length))
            for reason in overlap.reasons:
                self._refuse(reason, shown)
            if overlap.left:
                self._refuse(CUT, shown)
            for low, high in overlap.left:
                yield from networks_of(low, high, bits)

    def _refuse(self, reason: str, example: str = "") -> None:
        self._reasons[reason] += 1
        if example:
            examples = self._account.examples.setdefault(reason, [])
            if len(examples) < _EXAMPLES:
                examples.append(printable(example[:_EXAMPLE_CHARS]))


def _bare_host(line: str) -> int | None:
    """Return the key of a line that is an IPv4 address and nothing else, the most common one; None for others."""
    try:
        return int.from_bytes(inet_pton(AF_INET, line)) << 6 | 32
    except (OSError, ValueError):
        return None


def _show(entry: Network | AddressRange) -> str:
    if isinstance(entry, AddressRange):
        return "-".join(str(Network(address, 8 * len(address))) for address in entry)
    return str(entry)


def _full(found: str, limit: int) -> ListFault:
    return ListFault(ListCause.FULL, f"it has {found} networks, more than the {limit} that `max` allows")


def _nothing(account: Account) -> ListFault:
    if not account.entries and not account.reasons:
        return ListFault(ListCause.EMPTY, "it names no network")
    why = ", ".join(f"{count} {reason}" for reason, count in account.reasons.items())
    return ListFault(ListCause.EMPTY, f"none of its networks can be taken: {why}")
