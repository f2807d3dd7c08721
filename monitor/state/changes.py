"""What the store keeps in addition to bans and offences, and changes gathered until they are written."""

from collections import OrderedDict, deque

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import AllowEntry, Ban, ClaimKey, Offence, claim_key
from monitor.model.cursors import Cursor


class Allowed(msgspec.Struct, frozen=True, gc=False):
    """A network that a person put on the allowlist of the running daemon; `added_s` is seconds since the epoch."""

    network: Network
    reason: str
    added_s: float

    @property
    def entry(self) -> AllowEntry:
        """What the guard takes."""
        return AllowEntry(self.network, self.reason)


class Changes:
    """Changes to the store, one for each key: what was said last counts. Offences are appended, never changed.

    `bans` and `ended` have no key in common. An entry of `allowed` that is None is to be removed.
    """

    __slots__ = ("allowed", "bans", "cursors", "ended", "offences")

    def __init__(self) -> None:
        """Begin without changes."""
        self.bans: dict[ClaimKey, Ban] = {}
        self.ended: OrderedDict[ClaimKey, None] = OrderedDict()
        self.offences: deque[Offence] = deque()
        self.cursors: dict[str, Cursor] = {}
        self.allowed: dict[Network, Allowed | None] = {}

    def __len__(self) -> int:
        """Return the number of rows that writing would touch."""
        return len(self.bans) + len(self.ended) + len(self.offences) + len(self.cursors) + len(self.allowed)

    def put_ban(self, ban: Ban) -> None:
        """Enter a claim, in place of the earlier one of its origin."""
        key = claim_key(ban)
        self.ended.pop(key, None)
        self.bans[key] = ban

    def remove_ban(self, key: ClaimKey) -> None:
        """Strike a claim out, if it is there."""
        self.bans.pop(key, None)
        self.ended[key] = None

    def follow(self, later: "Changes") -> None:
        """Take over changes that were made after these."""
        for ban in later.bans.values():
            self.put_ban(ban)
        for key in later.ended:
            self.remove_ban(key)
        self.offences.extend(later.offences)
        self.cursors.update(later.cursors)
        self.allowed.update(later.allowed)
