"""The ledger: which bans are in force, and what is remembered of each address."""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Protocol

import msgspec

from monitor.model.addresses import Address, Network, network_of
from monitor.model.alerts import Alert, Strength
from monitor.model.bans import Ban, Mode, Offence, ban_key

_MAX_REMEMBERED_ADDRESSES = 4096
_MAX_NOTES_PER_ADDRESS = 8
_SHAPES = 4
"""Addresses and prefixes of both families."""
_PERIOD_S = 1024
"""Ends are kept by periods, as plain lists; only those of the period that has begun are in a heap."""


class Record(Protocol):
    """Who writes down what changes, for the next start of the daemon."""

    def put_ban(self, ban: Ban) -> None:
        """Note a ban that is new or replaces the one of its network and strength."""

    def remove_ban(self, network: Network, strength: Strength) -> None:
        """Note the end of a ban."""

    def add_offence(self, offence: Offence) -> None:
        """Note an offence."""


class Note(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to an address, for `why`: when, what was decided, on which alert."""

    time_s: float
    verdict: str
    alert: Alert | None


class Ledger:
    """Bans by network and strength, at most `max_bans`; knows which end when.

    The strengths of one network are apart, as in the kernel's sets: forged evidence must not lengthen a ban that rests
    on proof. Beside them, bounded notes of what happened to the addresses seen last.
    """

    def __init__(self, *, max_bans: int, record: Record | None = None) -> None:
        """Make an empty ledger; `record` is told of every change but not of what is restored with `load`."""
        self.max_bans = max_bans
        self._record = record
        self.mirror: Record | None = None
        """Who holds the same bans in another place; told of every change, restored bans included."""
        self._bans: dict[bytes, Ban] = {}
        self._ends: dict[int, list[bytes]] = {}
        self._due: list[tuple[float, bytes]] = []
        self._period = 0
        self._end_count = 0
        self._shapes: Counter[tuple[int, int]] = Counter()
        self._counts = [0] * (_SHAPES * 2 * len(Strength))
        self._notes: OrderedDict[Address, deque[Note]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of bans, observed ones included."""
        return len(self._bans)

    @property
    def is_full(self) -> bool:
        """Whether no further network can be banned."""
        return len(self._bans) >= self.max_bans

    def get(self, network: Network, strength: Strength) -> Ban | None:
        """Return the ban of exactly this network and strength."""
        return self._bans.get(ban_key(network, strength))

    def covering(self, network: Network) -> list[Ban]:
        """Return the bans of this network and of the prefixes around it, narrowest first."""
        lengths = {network.prefix_length} | {
            length for bits, length in self._shapes if bits == network.bits and length < network.prefix_length
        }
        keys = [
            ban_key(network_of(network.address, length), strength)
            for length in sorted(lengths, reverse=True)
            for strength in Strength
        ]
        return [self._bans[key] for key in keys if key in self._bans]

    def put(self, ban: Ban) -> None:
        """Enter a ban, in place of the one its network had in this strength."""
        self.load(ban)
        if self._record:
            self._record.put_ban(ban)

    def load(self, ban: Ban) -> None:
        """Enter a ban that is on record already."""
        key = ban_key(ban.network, ban.strength)
        if key in self._bans:
            self._strike(key)
        self._bans[key] = ban
        if self.mirror:
            self.mirror.put_ban(ban)
        self._counts[_kind(ban)] += 1
        if not ban.network.is_host:
            self._shapes[ban.network.bits, ban.network.prefix_length] += 1
        self._await_end(key, ban)

    def _await_end(self, key: bytes, ban: Ban) -> None:
        """Note when a ban ends."""
        period = int(ban.until_s) // _PERIOD_S
        if period > self._period:
            self._ends.setdefault(period, []).append(key)
        else:
            heapq.heappush(self._due, (ban.until_s, key))
        self._end_count += 1
        if self._end_count > 2 * len(self._bans) + 64:  # ends of bans that were replaced pile up
            self._ends, self._due, self._end_count = {}, [], 0
            for kept, other in self._bans.items():
                self._await_end(kept, other)

    def remove(self, network: Network, strength: Strength) -> Ban | None:
        """Strike a ban out; return it, None if there was none."""
        ban = self._strike(ban_key(network, strength))
        for follower in (self._record, self.mirror):
            if ban is not None and follower:
                follower.remove_ban(network, strength)
        return ban

    def expire(self, now_s: float) -> list[Ban]:
        """Strike out and return the bans that ended by `now_s`."""
        period = int(now_s) // _PERIOD_S
        if period > self._period:
            self._period = period
            for begun in [other for other in self._ends if other <= period]:
                for key in self._ends.pop(begun):
                    if (ban := self._bans.get(key)) is not None:
                        heapq.heappush(self._due, (ban.until_s, key))
        ended = []
        while self._due and self._due[0][0] <= now_s:
            until_s, key = heapq.heappop(self._due)
            self._end_count -= 1
            ban = self._bans.get(key)
            if ban is not None and ban.until_s == until_s:  # else it was replaced
                self.remove(ban.network, ban.strength)
                ended.append(ban)
        return ended

    def shift(self, step_s: float, last_look_s: float, now_s: float) -> None:
        """Follow the wall clock, which was set by `step_s` since the last look: bans keep the time that they had left.

        Those that began between the last look and now, by the clock as it is now, were made when it was set already.
        """
        self._ends, self._due, self._end_count, self._period = {}, [], 0, 0
        for key, ban in self._bans.items():
            moved = ban
            if not last_look_s < ban.since_s <= now_s:
                moved = msgspec.structs.replace(ban, since_s=ban.since_s + step_s, until_s=ban.until_s + step_s)
                self._bans[key] = moved
                if self._record:
                    self._record.put_ban(moved)
            self._await_end(key, moved)

    def bans(self) -> Iterable[Ban]:
        """Return all bans, in no order."""
        return self._bans.values()

    def count(self, mode: Mode, strength: Strength) -> int:
        """Return how many bans of this kind there are."""
        first = _SHAPES * (2 * strength.number + (mode is Mode.ENFORCE))
        return sum(self._counts[first : first + _SHAPES])

    def count_in_set(self, strength: Strength, bits: int, *, prefixes: bool) -> int:
        """Return how many bans in force are of this strength and family (32 or 128 bits), of addresses or prefixes."""
        return self._counts[_SHAPES * (2 * strength.number + 1) + 2 * (bits == 128) + prefixes]

    def note(self, address: Address, note: Note) -> None:
        """Remember what happened to an address; the addresses noted longest ago are forgotten first."""
        notes = self._notes.pop(address, None)
        if notes is None:
            notes = deque(maxlen=_MAX_NOTES_PER_ADDRESS)
            if len(self._notes) >= _MAX_REMEMBERED_ADDRESSES:
                self._notes.popitem(last=False)
        notes.append(note)
        self._notes[address] = notes

    def notes(self, address: Address) -> list[Note]:
        """Return what is remembered of an address, oldest first."""
        return list(self._notes.get(address, ()))

    def _strike(self, key: bytes) -> Ban | None:
        ban = self._bans.pop(key, None)
        if ban is not None:
            self._counts[_kind(ban)] -= 1
            if not ban.network.is_host:
                shape = ban.network.bits, ban.network.prefix_length
                self._shapes[shape] -= 1
                if not self._shapes[shape]:
                    del self._shapes[shape]
        return ban


def _kind(ban: Ban) -> int:
    """Return a number for each kind of ban: strength, mode, family, and whether it is of a prefix."""
    network = ban.network
    kind = 2 * ban.strength.number + (ban.mode is Mode.ENFORCE)
    return _SHAPES * kind + 2 * (network.bits == 128) + (not network.is_host)
