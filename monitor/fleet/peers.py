"""What is known of other nodes: who they say they are, what they may bring, what became of it. Bounded; pure."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator

from monitor.bans.budget import Budget
from monitor.fleet.breaker import Breaker
from monitor.fleet.fields import is_node_name
from monitor.fleet.records import Hello
from monitor.fleet.refusals import Cause
from monitor.model.bans import Mode
from monitor.model.saved_rows import SavedRow

MAX_PEERS = 10_000
_SILENT_S = 60.0
_CATCH_UP_S = 600.0
"""For how long a peer that was away may bring what it could have published meanwhile."""
_FORGOTTEN_S = 3600.0
_SAVED_TO_S = 60.0
"""How exactly it is saved when a peer was heard of: each hello would otherwise be a write to disk."""
_STATE = struct.Struct(">dd")


class Peer:
    """One other node. Times are wall time in seconds."""

    __slots__ = (
        "_away", "_away_until_s", "breaker", "budget", "enforced", "heard_s", "hello", "helloed_s", "lag_s", "later_s",
        "name", "observed", "refused", "renewals",
    )  # fmt: skip

    def __init__(self, name: str, bans_per_minute: int) -> None:
        """Know nothing of it but its name."""
        self.name = name
        self.hello: Hello | None = None
        self.helloed_s: float | None = None
        self.heard_s: float | None = None
        """When it said anything, in an earlier run too; None: never."""
        self.lag_s: float | None = None
        self.later_s: float | None = None
        """When it published something of a later version than is known here."""
        self.enforced = self.observed = self.refused = 0
        self.budget = Budget(bans_per_minute)
        self.renewals = Budget(bans_per_minute)
        """Other ends of bans that are held: each costs as much as a new ban, and without end they would occupy us."""
        self.breaker = Breaker()
        self._away = 0
        self._away_until_s = 0.0

    @property
    def role(self) -> str | None:
        """What it says it is for; None while it has said nothing."""
        return None if self.hello is None else self.hello.role

    @property
    def held(self) -> int:
        """How many bans are held of it."""
        return self.enforced + self.observed

    def hear(self, now_s: float, most: int) -> None:
        """Take that it said something. After a silence it may bring what it could have published, `most` at most."""
        gap_s = None if self.heard_s is None else now_s - self.heard_s
        if gap_s is None or gap_s > _SILENT_S:
            self.welcome(now_s, most if gap_s is None else min(most, int(gap_s * self.budget.bans_per_minute / 60.0)))
        self.heard_s = now_s

    def welcome(self, now_s: float, count: int) -> None:
        """Let it bring this many bans beyond its budget: what it has is not held here for reasons of our own."""
        left = self._away if self._may_catch_up(now_s) else 0
        self._away, self._away_until_s = max(left, count), now_s + _CATCH_UP_S

    def _may_catch_up(self, now_s: float) -> bool:
        return self._away_until_s - _CATCH_UP_S <= now_s < self._away_until_s

    def spend(self, now_s: float) -> bool:
        """Take one new ban or pardon of what it may bring; False if that is too many."""
        if self._away > 0 and self._may_catch_up(now_s):
            self._away -= 1
            return True
        return self.budget.spend(now_s)

    def shift(self, step_s: float) -> None:
        """Take that the wall clock was set by `step_s`."""
        self.breaker.shift(step_s)
        self._away_until_s += step_s
        self.heard_s = None if self.heard_s is None else self.heard_s + step_s

    def count(self, mode: Mode, step: int) -> None:
        """Count claims that came or went."""
        if mode is Mode.ENFORCE:
            self.enforced = max(0, self.enforced + step)
        else:
            self.observed = max(0, self.observed + step)


class Peers:
    """All other nodes by name, at most `max_peers`."""

    def __init__(self, own: str, bans_per_minute: int, max_peers: int = MAX_PEERS) -> None:
        """`own` is this node's name, which no peer can have."""
        self.own = own
        self._bans_per_minute = bans_per_minute
        self._max = max_peers
        self._peers: dict[str, Peer] = {}
        self.refused: Counter[Cause] = Counter(dict.fromkeys(Cause, 0))
        """Records that were not taken over, by cause."""
        self.omitted_total = 0
        """Names that were ignored because there are too many nodes."""
        self.twins_total = 0
        """How often something came from a node with this node's name."""

    def __iter__(self) -> Iterator[Peer]:
        """Return them in the order in which they appeared."""
        return iter(self._peers.values())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._peers)

    def find(self, name: str) -> Peer | None:
        """Return a peer that is known."""
        return self._peers.get(name)

    def meet(self, name: str, now_s: float) -> Peer | None:
        """Return a peer, new or not; None, and counted, if there can be none of this name."""
        peer = self._peers.get(name)
        if peer is not None:
            return peer
        if name == self.own:
            self.twins_total += 1
            self.refused[Cause.OWN_NAME] += 1
            return None
        if not is_node_name(name) or (len(self._peers) >= self._max and not self._forget_one(now_s)):
            self.omitted_total += 1
            self.refused[Cause.FOREIGN] += 1
            return None
        peer = self._peers[name] = Peer(name, self._bans_per_minute)
        return peer

    def refuse(self, peer: Peer, cause: Cause, count: int = 1) -> None:
        """Count records that were not taken over."""
        self.refused[cause] += count
        if cause is Cause.VERSION:
            peer.later_s = peer.heard_s
        peer.refused += count

    def follow(self, bans_per_minute: int) -> None:
        """Give all another budget."""
        if bans_per_minute != self._bans_per_minute:
            self._bans_per_minute = bans_per_minute
            for peer in self:
                peer.budget, peer.renewals = Budget(bans_per_minute), Budget(bans_per_minute)

    def is_trusted(self, name: str) -> bool:
        """Whether what a peer bans may be enforced."""
        peer = self._peers.get(name)
        return peer is None or not peer.breaker.is_tripped

    def _forget_one(self, now_s: float) -> bool:
        """Make room: forget a node that left and has left nothing here."""
        for name, peer in self._peers.items():
            if peer.held or peer.breaker.is_tripped or peer.heard_s is None:
                continue
            if now_s - peer.heard_s > _FORGOTTEN_S:
                del self._peers[name]
                return True
        return False

    def export(self, limit: int) -> list[SavedRow]:
        """Return what must outlive a restart: whose breaker tripped, then who was heard last; see `SavedWindow`."""
        peers = sorted(self, key=lambda one: (not one.breaker.is_tripped, -(one.heard_s or 0.0)))
        return [
            (
                peer.name.encode(),
                _STATE.pack(peer.breaker.tripped_s, peer.breaker.trusted_s) + peer.breaker.reason.encode(),
                round((peer.heard_s or 0.0) / _SAVED_TO_S) * _SAVED_TO_S,
            )
            for peer in peers[:limit]
        ]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know these again; what cannot be read is left out."""
        for name, value, heard_s in rows:
            try:
                (tripped_s, trusted_s), reason = _STATE.unpack(value[: _STATE.size]), value[_STATE.size :].decode()
                if name.decode() == self.own:
                    continue  # it was another node's, in an earlier run
                peer = self.meet(name.decode(), now_s)
            except (struct.error, UnicodeDecodeError):
                continue
            if peer is not None:
                peer.heard_s = heard_s or None
                peer.breaker = Breaker(min(tripped_s, now_s), reason, min(trusted_s, now_s))
