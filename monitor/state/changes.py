"""What the store keeps in addition to bans and offences, and changes gathered until they are written."""

from collections import OrderedDict, deque
from typing import TypeAlias

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, Offence
from monitor.model.cursors import Cursor

BanKey: TypeAlias = tuple[Network, Strength]


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
        self.bans: dict[BanKey, Ban] = {}
        self.ended: OrderedDict[BanKey, None] = OrderedDict()
        self.offences: deque[Offence] = deque()
        self.cursors: dict[str, Cursor] = {}
        self.allowed: dict[Network, Allowed | None] = {}

    def __len__(self) -> int:
        """Return the number of rows that writing would touch."""
        return len(self.bans) + len(self.ended) + len(self.offences) + len(self.cursors) + len(self.allowed)

    def put_ban(self, ban: Ban) -> None:
        """Enter a ban, in place of the one its network had in this strength."""
        key = ban.network, ban.strength
        self.ended.pop(key, None)
        self.bans[key] = ban

    def remove_ban(self, network: Network, strength: Strength) -> None:
        """Strike a ban out, if it is there."""
        key = network, strength
        self.bans.pop(key, None)
        self.ended[key] = None

    def follow(self, later: "Changes") -> None:
        """Take over changes that were made after these."""
        for ban in later.bans.values():
            self.put_ban(ban)
        for key in later.ended:
            self.remove_ban(*key)
        self.offences.extend(later.offences)
        self.cursors.update(later.cursors)
        self.allowed.update(later.allowed)
