"""The seam between the fleet's rules and the engine that remembers for it (a Redis server).

The engine gets what this node publishes from an `Outbox` and tells what peers publish to an `Inbox`. All methods are
called on the event loop's thread. Neither waits for the other: a publisher takes what is there when the server answers,
and an inbox returns at once. Everything that comes from peers is handed on as bytes; the inbox decodes.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class Kind(enum.StrEnum):
    """What changed."""

    BAN = "b"
    UNBAN = "u"
    """The owner withdrew a ban, or it ended: `record` is empty."""
    PARDON = "p"


class Change(NamedTuple):
    """One change of a node's records. `field` names it in the node's hash: the network, its ports and the set."""

    kind: Kind
    field: bytes
    record: bytes = b""
    until_s: float = 0.0
    """When it ends by the engine's clock; so the engine can forget it.

    An UNBAN with such a time is of a ban that ended by itself: peers know that, so only the hash must follow.
    """


class Outbox(Protocol):
    """What this node has to publish. Bounded: newer changes of a field replace waiting ones."""

    @property
    def is_overrun(self) -> bool:
        """Whether more changes waited than are kept: then `whole` tells what they were, and ends this."""
        ...

    def take(self, limit: int) -> Sequence[Change]:
        """Return the oldest waiting changes; they count as published unless `put_back` is called."""
        ...

    def put_back(self, changes: Sequence[Change]) -> None:
        """Take changes that could not be written back; newer ones of the same field win."""
        ...

    def whole(self) -> Iterator[Change]:
        """Yield everything that is live, for a server that lost it; the engine takes it in slices."""
        ...

    def hello(self) -> bytes:
        """Return this node's hello as it is now."""
        ...


class Inbox(Protocol):
    """Takes what the engine knows. Nothing here blocks or raises."""

    @property
    def is_busy(self) -> bool:
        """Whether thousands of changes wait to be applied: an engine that reads on then costs memory."""
        ...

    def connected(self, offset_s: float) -> None:
        """Take that the server answers; its clock is `offset_s` ahead of ours."""
        ...

    def disconnected(self, problem: str) -> None:
        """Take that the server does not answer, and what people should do about it. Nothing is removed for that."""
        ...

    def changed(self, node: str, changes: Sequence[Change]) -> None:
        """Take changes of a peer, oldest first, at most a few hundred."""
        ...

    def snapshot(self, node: str, part: Sequence[Change], *, is_first: bool, is_last: bool) -> None:
        """Take a part of all that a peer has in force; what it held before and is in no part has ended."""
        ...

    def helloed(self, node: str, hello: bytes) -> None:
        """Take what a peer says of itself; empty: it has been silent for a minute."""
        ...

    def allowed(self, entries: Mapping[bytes, bytes]) -> None:
        """Take the fleet's allowlist: reason by network, both as written by the administrator."""
        ...

    def problem(self, text: str) -> None:
        """Take what is wrong while the server answers (read-only, out of memory, no permission); empty: nothing."""
        ...


class Engine(Protocol):
    """A connection to the fleet's memory."""

    def wake(self) -> None:
        """Take that the outbox has something; returns at once."""
        ...

    async def run(self) -> None:
        """Connect, publish, read, and connect again whenever that ends; only cancelling ends it."""
        ...
