"""What an enforcer is: it puts bans into force, and says what it refused."""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Held


class FailureCause(enum.StrEnum):
    """Why the kernel refused a ban: a closed set, fit for a metric label."""

    SET_FULL = "set_full"
    OVERLAP = "overlap"
    NO_MEMORY = "no_memory"
    """The kernel had no memory for it, or its answer was lost: whether it is in force is not known."""
    OTHER = "other"


class Failure(msgspec.Struct, frozen=True, gc=False):
    """One ban that is not in force; `reason` is for people."""

    network: Network
    strength: Strength
    cause: FailureCause
    reason: str


class Stopped(msgspec.Struct, frozen=True, gc=False):
    """What a ban, a set or a hook has counted."""

    packets: int
    bytes: int


class InForce(Protocol):
    """What an enforcer may ask of the ledger: what should be in force."""

    def bans(self) -> Iterable[Ban]:
        """Return all bans, observed ones included."""
        ...

    def get(self, network: Network, strength: Strength) -> Ban | None:
        """Return the ban of exactly this network and strength."""
        ...

    def covering(self, network: Network) -> list[Ban]:
        """Return the bans of this network and of the prefixes around it."""
        ...


class Enforcer(Protocol):
    """Puts bans into force. nftables leads: what it refuses is not in force. The others follow, each degrading alone.

    All calls are made on the loop's thread. `now_s` is wall time in seconds.
    """

    name: str
    """In metrics and status."""
    generation: int
    """Rises whenever it had to start anew from what should be in force, as when its table had vanished."""
    on_lost: Callable[[list[Failure]], None]
    """Called with bans that were in force and could not be kept when it started anew."""

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Put bans into force until their ends; return those that are not in force after all."""
        ...

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Give bans in force a later end; return those that kept the old one."""
        ...

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """End bans; those that are not in force are fine."""
        ...

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Let these pass whatever is banned, in place of those named before."""
        ...

    def counters(self) -> Mapping[str, Stopped]:
        """Return what each set has stopped."""
        ...

    def stopped(self, ban: Ban) -> Stopped | None:
        """Return what one ban has stopped here; None if it is not in force here."""
        ...

    def held(self, clock: Callable[[], float]) -> Iterator[Held]:
        """Yield what is in force; `clock` gives wall time in seconds."""
        ...

    def flush(self) -> None:
        """End everything, and remove what was made in the kernel."""
        ...

    def close(self) -> None:
        """Let go of the kernel."""
        ...
