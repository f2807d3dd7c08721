"""Networks allowed by an operator, and changes to the store that are collected until they are written."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, ClaimKey, Offence, claim_key
from monitor.model.cursors import Cursor


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """A network that an operator added to the allowlist of the running daemon; `added_s` is seconds since the epoch."""

    network: Network
    reason: str
    added_s: float

    @property
    def entry(self) -> AllowEntry:
        """The entry for the guard."""
        return AllowEntry(self.network, self.reason)


class SavedContent(NamedTuple):
    """What a detector counted, encoded by it, and when that was saved (seconds since the epoch)."""

    saved_s: float
    content: bytes


class TallyKey(NamedTuple):
    """What the history counts by: the hour since the epoch, the detector, and what came of its alerts."""

    hour: int
    detector: str
    strength: Strength
    outcome: str


class StateChanges:
    """Changes to the store, one per key: the last one counts. Offences are appended, never changed.

    `bans` and `ended` have no key in common. None in `allowed` removes the network. Offences and removals that anyone
    can forge are apart from the others, so that a flood of them displaces only its own kind.
    """

    __slots__ = (
        "allowed",
        "bans",
        "cursors",
        "ended",
        "forgeable",
        "forgeable_ended",
        "is_cleared",
        "offences",
        "tallies",
        "windows",
    )

    def __init__(self) -> None:
        """Start without changes."""
        self.bans: dict[ClaimKey, Ban] = {}
        self.is_cleared = False
        """Whether all claims that were saved before are removed first."""
        self.ended: OrderedDict[ClaimKey, None] = OrderedDict()
        self.forgeable_ended: OrderedDict[ClaimKey, None] = OrderedDict()
        self.offences: deque[Offence] = deque()
        self.forgeable: deque[Offence] = deque()
        self.tallies: Counter[TallyKey] = Counter()
        """To be added to what is stored: the only changes that say by how much rather than what is."""
        self.cursors: dict[str, Cursor] = {}
        self.allowed: dict[Network, Allowed | None] = {}
        self.windows: dict[str, SavedContent] = {}

    def __len__(self) -> int:
        """Return the number of rows to write or delete."""
        offences = len(self.offences) + len(self.forgeable)
        ended = len(self.ended) + len(self.forgeable_ended)
        few = len(self.cursors) + len(self.allowed) + len(self.windows) + len(self.tallies)
        return len(self.bans) + ended + offences + few + self.is_cleared

    @property
    def is_worth_a_copy(self) -> bool:
        """Whether these are more than cursors and windows, which change all the time and are soon worth nothing."""
        ended, offences = self.ended or self.forgeable_ended, self.offences or self.forgeable
        return bool(self.is_cleared or self.bans or ended or offences or self.allowed or self.tallies)

    def put_ban(self, ban: Ban) -> None:
        """Add a claim; it replaces the earlier one of the same origin."""
        key = claim_key(ban)
        self._removals_like(key).pop(key, None)
        self.bans[key] = ban

    def remove_ban(self, key: ClaimKey) -> None:
        """Remove a claim, if it exists."""
        self.bans.pop(key, None)
        self._removals_like(key)[key] = None

    def add_offence(self, offence: Offence, limit: int) -> int:
        """Append an offence; return how many had to go for `limit`, the oldest that anyone can forge first."""
        (self.forgeable if offence.strength is Strength.SPOOFABLE else self.offences).append(offence)
        return self.bound_offences(limit)

    def all_ended(self) -> Iterator[ClaimKey]:
        """Yield every removal."""
        return chain(self.ended, self.forgeable_ended)

    def bound_removals(self, limit: int) -> int:
        """Drop the oldest removals above `limit`, those of claims that anyone can forge first; return how many."""
        dropped = 0
        while len(self.ended) + len(self.forgeable_ended) > limit:
            (self.forgeable_ended or self.ended).popitem(last=False)
            dropped += 1
        return dropped

    def _removals_like(self, key: ClaimKey) -> OrderedDict[ClaimKey, None]:
        return self.forgeable_ended if key[1] is Strength.SPOOFABLE else self.ended

    def bound_offences(self, limit: int) -> int:
        """Drop offences above `limit`, and return how many."""
        dropped = 0
        while len(self.offences) + len(self.forgeable) > limit:
            (self.forgeable or self.offences).popleft()
            dropped += 1
        return dropped

    def clear_bans(self) -> None:
        """Remove all claims."""
        self.bans.clear()
        self.ended.clear()
        self.forgeable_ended.clear()
        self.is_cleared = True

    def follow(self, later: "StateChanges") -> None:
        """Append changes that were made after these."""
        if later.is_cleared:
            self.clear_bans()
        for ban in later.bans.values():
            self.put_ban(ban)
        for key in later.all_ended():
            self.remove_ban(key)
        self.offences.extend(later.offences)
        self.forgeable.extend(later.forgeable)
        self.tallies.update(later.tallies)
        self.cursors.update(later.cursors)
        self.allowed.update(later.allowed)
        self.windows.update(later.windows)
