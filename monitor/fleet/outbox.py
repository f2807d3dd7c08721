"""What waits to be published: names of bans only. What is said of them is read from the ledger when it is sent.

So a ban that changes ten times while the server is away is one change, a ban that came and went is its end, and the
memory that this takes does not grow with the number of bans in force.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor.bans.ledger import Ledger
from monitor.fleet.engine import Change, Kind
from monitor.fleet.fields import field_of, read_field, read_network
from monitor.fleet.pardons import Pardons
from monitor.fleet.publication import record_of, shared_claim
from monitor.fleet.records import encode
from monitor.fleet.settings import FleetSettings
from monitor.fleet.times import EngineClock
from monitor.model.addresses import Network
from monitor.model.bans import Ban, ClaimOrigin, ban_key, read_ban_key

MAX_WAITING = 131_072


class _Waiting(NamedTuple):
    """Since when a change waits (monotonic, seconds), and when the ban ended by itself (wall time); 0: it did not."""

    noted_s: float
    ended_s: float = 0.0


class FleetOutbox:
    """An `Outbox` over the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        settings: FleetSettings,
        clock: EngineClock,
        pardons: Pardons,
        hello: Callable[[], bytes] = bytes,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """`hello` makes this node's hello; `wall` and `monotonic` are clocks in seconds."""
        self.settings = settings
        self._ledger = ledger
        self._clock = clock
        self._pardons = pardons
        self._hello = hello
        self._wall = wall
        self._monotonic = monotonic
        self._max_waiting = max_waiting
        self._bans: dict[bytes, _Waiting] = {}
        self._pardoned: dict[Network, _Waiting] = {}
        self.sequence = int(wall() * 1000)
        """The `id` of the last record: higher than those of earlier runs, unless the clock was set back."""
        self.is_overrun = False
        self.published_total = 0
        self.withdrawn_total = 0

    def __len__(self) -> int:
        """Return how many changes wait."""
        return len(self._bans) + len(self._pardoned)

    @property
    def waiting_s(self) -> float:
        """For how long the oldest change has waited."""
        oldest = [next(iter(some.values())).noted_s for some in (self._bans, self._pardoned) if some]
        return max(0.0, self._monotonic() - min(oldest)) if oldest else 0.0

    def note(self, key: bytes, ended_s: float = 0.0) -> None:
        """Take that what is published of a ban (`ban_key`) may have changed; `ended_s`: it ended by itself then."""
        known = self._bans.pop(key, None)
        if known is None and len(self._bans) >= self._max_waiting:
            self._bans.clear()
            self.is_overrun = True
        self._bans[key] = _Waiting(known.noted_s if known else self._monotonic(), ended_s)

    def note_pardon(self, network: Network) -> None:
        """Take that a pardon of this node is to be published."""
        self._pardoned[network] = _Waiting(self._monotonic())

    def take(self, limit: int) -> Sequence[Change]:
        """Return the oldest waiting changes; they count as published unless `put_back` is called."""
        now_s, offset_s = self._wall(), self._clock.offset_s
        taken: list[Change] = []
        for network in [one for one, _ in zip(self._pardoned, range(limit), strict=False)]:
            del self._pardoned[network]
            if (change := self._pardon(network)) is not None:
                taken.append(change)
        for key in [one for one, _ in zip(self._bans, range(limit - len(taken)), strict=False)]:
            waiting = self._bans.pop(key)
            network, strength = read_ban_key(key)
            claim = shared_claim(self._ledger.claims_of(key), self.settings, now_s)
            if claim is not None:
                taken.append(self._change(claim, offset_s))
                self.published_total += 1
            else:
                ended_s = max(0.0, waiting.ended_s + offset_s) if waiting.ended_s else 0.0
                taken.append(Change(Kind.UNBAN, field_of(network, strength), until_s=ended_s))
                self.withdrawn_total += not ended_s
        return taken

    def put_back(self, changes: Sequence[Change]) -> None:
        """Take changes that could not be written back; newer ones of the same field win."""
        offset_s, noted_s = self._clock.offset_s, self._monotonic()
        bans: dict[bytes, _Waiting] = {}
        for change in changes:
            if change.kind is Kind.PARDON:
                self._pardoned.setdefault(read_network(change.field.decode()), _Waiting(noted_s))
                continue
            is_end = change.kind is Kind.UNBAN and change.until_s > 0
            bans[ban_key(*read_field(change.field))] = _Waiting(noted_s, change.until_s - offset_s if is_end else 0.0)
            self.published_total -= change.kind is Kind.BAN
            self.withdrawn_total -= change.kind is Kind.UNBAN and not is_end
        self._bans = {**{key: one for key, one in bans.items() if key not in self._bans}, **self._bans}
        if len(self._bans) > self._max_waiting:
            self._bans.clear()
            self.is_overrun = True

    def whole(self) -> Iterator[Change]:
        """Yield everything that is live, for a server that lost it; the ledger may change in between."""
        self.is_overrun = False
        own = (ClaimOrigin.DETECTOR, ClaimOrigin.OPERATOR)
        keys = self._ledger.keys_of(own)
        for network in self._pardons.own():
            if (change := self._pardon(network)) is not None:
                yield change
        for key in keys:
            claim = shared_claim(self._ledger.claims_of(key), self.settings, self._wall())
            if claim is not None:
                yield self._change(claim, self._clock.offset_s)

    def hello(self) -> bytes:
        """Return this node's hello as it is now."""
        return self._hello()

    def forget(self, keys: Iterable[bytes]) -> None:
        """Publish nothing of these."""
        for key in keys:
            self._bans.pop(key, None)

    def _change(self, claim: Ban, offset_s: float) -> Change:
        self.sequence += 1
        field, record = record_of(claim, self.sequence, offset_s)
        return Change(Kind.BAN, field, encode(record), record.until_s)

    def _pardon(self, network: Network) -> Change | None:
        self.sequence += 1
        return self._pardons.change(network, self.sequence, self._clock)
