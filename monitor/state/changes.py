"""Networks allowed by an operator, and changes to the store that are collected until they are written."""

from collections import OrderedDict, deque
from typing import NamedTuple

import msgspec

from monitor.model.addresses import Network
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


class StateChanges:
    """Changes to the store, one per key: the last one counts. Offences are appended, never changed.

    `bans` and `ended` have no key in common. None in `allowed` removes the network.
    """

    __slots__ = ("allowed", "bans", "cursors", "ended", "is_cleared", "offences", "windows")

    def __init__(self) -> None:
        """Start without changes."""
        self.bans: dict[ClaimKey, Ban] = {}
        self.is_cleared = False
        """Whether all claims that were saved before are removed first."""
        self.ended: OrderedDict[ClaimKey, None] = OrderedDict()
        self.offences: deque[Offence] = deque()
        self.cursors: dict[str, Cursor] = {}
        self.allowed: dict[Network, Allowed | None] = {}
        self.windows: dict[str, SavedContent] = {}

    def __len__(self) -> int:
        """Return the number of rows to write or delete."""
        few = len(self.cursors) + len(self.allowed) + len(self.windows)
        return len(self.bans) + len(self.ended) + len(self.offences) + few + self.is_cleared

    @property
    def is_worth_a_copy(self) -> bool:
        """Whether these are more than cursors and windows, which change all the time and are soon worth nothing."""
        return bool(self.is_cleared or self.bans or self.ended or self.offences or self.allowed)

    def put_ban(self, ban: Ban) -> None:
        """Add a claim; it replaces the earlier one of the same origin."""
        key = claim_key(ban)
        self.ended.pop(key, None)
        self.bans[key] = ban

    def remove_ban(self, key: ClaimKey) -> None:
        """Remove a claim, if it exists."""
        self.bans.pop(key, None)
        self.ended[key] = None

    def clear_bans(self) -> None:
        """Remove all claims."""
        self.bans.clear()
        self.ended.clear()
        self.is_cleared = True

    def follow(self, later: "StateChanges") -> None:
        """Append changes that were made after these."""
        if later.is_cleared:
            self.clear_bans()
        for ban in later.bans.values():
            self.put_ban(ban)
        for key in later.ended:
            self.remove_ban(key)
        self.offences.extend(later.offences)
        self.cursors.update(later.cursors)
        self.allowed.update(later.allowed)
        self.windows.update(later.windows)
