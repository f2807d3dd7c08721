"""Who else is in the fleet, and how far each was read. Pure; names come from keys that everybody can write."""

import enum
from collections.abc import Iterator

from monitor.fleet.redis.keys import FleetKeys, NodeKeys, is_node_name

MAX_PEERS = 10_000
_CHANGES_PER_S = 5000
"""Of one peer, so that one that writes without end costs the others nothing."""
_BAD_S = (60.0, 3600.0)
"""How long a peer whose keys are no use is left alone: at first, and at most."""
_SNAPSHOT_S = 2.0
_SNAPSHOT_SHARE = 20
"""A peer that lets us read everything again and again gets a twentieth of the time."""
_FORGET_S = 3600.0


class Turn(enum.Enum):
    """What comes next for a peer."""

    NOTHING = enum.auto()
    LINES = enum.auto()
    SNAPSHOT = enum.auto()


class Peer:
    """One other node."""

    __slots__ = ("_bad_s", "_changes", "_second", "bad_until_s", "expected", "heard_s", "hello_due_s", "is_silent",
                 "is_suspect", "keys", "name", "number", "snapshot_from_s")  # fmt: skip

    def __init__(self, name: bytes, keys: NodeKeys, now_s: float) -> None:
        """Nothing of it is read; times are monotonic."""
        self.name, self.keys = name, keys
        self.number: int | None = None
        """The last line that was read; None: a snapshot comes first."""
        self.expected = 0
        """The last line there is, as its mark says."""
        self.is_suspect = False
        """A reply about it and others was too large: read it alone."""
        self.bad_until_s = 0.0
        self._bad_s = _BAD_S[0]
        self.heard_s = now_s
        self.hello_due_s = 0.0
        self.is_silent = False
        self.snapshot_from_s = 0.0
        self._second, self._changes = 0, 0

    def marked(self, number: int) -> Turn:
        """Take what its mark says."""
        self.expected = number
        if self.number is None or number < self.number:
            return Turn.SNAPSHOT
        return Turn.LINES if number > self.number else Turn.NOTHING

    def may_read(self, now_s: float) -> bool:
        """Whether its lines may be read now."""
        if self.number is None or now_s < self.bad_until_s:
            return False
        return int(now_s) != self._second or self._changes < _CHANGES_PER_S

    def count(self, changes: int, now_s: float) -> None:
        """Take how many changes were read."""
        if int(now_s) != self._second:
            self._second, self._changes = int(now_s), 0
        self._changes += changes

    def found_bad(self, now_s: float) -> None:
        """Leave it alone for a while, each time longer."""
        self.bad_until_s = now_s + self._bad_s
        self._bad_s = min(2 * self._bad_s, _BAD_S[1])

    def found_good(self) -> None:
        """Take that its keys are what they should be."""
        self._bad_s, self.is_suspect = _BAD_S[0], False

    def read_all(self, number: int, began_s: float, now_s: float) -> None:
        """Take that a snapshot is complete, which shows all lines up to a number."""
        self.number = number
        self.snapshot_from_s = now_s + max(_SNAPSHOT_S, _SNAPSHOT_SHARE * (now_s - began_s))


class Peers:
    """The peers by name, and the order in which they are visited."""

    def __init__(self, keys: FleetKeys, own: bytes) -> None:
        """`own`: our name, which is no peer's."""
        self._keys, self._own = keys, own
        self._peers: dict[bytes, Peer] = {}
        self._round: Iterator[Peer] = iter(())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        """Yield all of them."""
        return iter(list(self._peers.values()))

    def get(self, name: object) -> Peer | None:
        """Return a peer that is known."""
        return self._peers.get(name) if isinstance(name, bytes) else None

    def is_new(self, name: object) -> bool:
        """Whether a name can be a peer's that is not known yet."""
        return is_node_name(name) and name not in self._peers and name != self._own

    @property
    def is_full(self) -> bool:
        """Whether no more are taken."""
        return len(self._peers) >= MAX_PEERS

    def add(self, name: bytes, now_s: float) -> Peer | None:
        """Take a peer that exists; None if there are too many."""
        if self.is_full:
            return None
        peer = self._peers[name] = Peer(name, self._keys.of(name), now_s)
        return peer

    def visit(self, limit: int) -> list[Peer]:
        """Return who is to be visited next, in turn; fewer than `limit` at the end of a round."""
        found = []
        for peer in self._round:
            if self._peers.get(peer.name) is peer:
                found.append(peer)
            if len(found) == limit:
                return found
        self._round = iter(list(self._peers.values()))
        return found

    def visit_all(self) -> None:
        """Begin a round."""
        self._round = iter(list(self._peers.values()))

    def forget_if_gone(self, peer: Peer, now_s: float) -> bool:
        """Drop a peer that left neither hello nor mark for an hour; return whether it was."""
        if not peer.is_silent or now_s - peer.heard_s <= _FORGET_S:
            return False
        self._peers.pop(peer.name, None)
        return True
