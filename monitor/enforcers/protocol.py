"""The protocol of enforcers, which put bans into force and report refused ones."""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeAlias

import msgspec

from monitor.model.addresses import Address, Network, format_address, network_between
from monitor.model.alerts import Strength
from monitor.model.bans import Action, Ban, Held, ban_key


class FailureCause(enum.StrEnum):
    """Why the kernel refused a ban: a closed set, usable as a metric label."""

    SET_FULL = "set_full"
    OVERLAP = "overlap"
    NO_MEMORY = "no_memory"
    """The kernel had no memory for it, or its answer was lost: it is unknown whether the ban is in force."""
    OTHER = "other"


class Failure(msgspec.Struct, frozen=True, gc=False):
    """One ban that is not in force; `reason` is a text for operators."""

    network: Network
    strength: Strength
    cause: FailureCause
    reason: str

    @property
    def key(self) -> bytes:
        """The `ban_key` of the ban."""
        return ban_key(self.network, self.strength)


class Stopped(msgspec.Struct, frozen=True, gc=False):
    """The counters of a ban, a set or a hook."""

    packets: int
    bytes: int


class ForeignElement(msgspec.Struct, frozen=True, gc=False):
    """An element that another program added to one of the sets: it is no ban of ours.

    `until_s` is when it expires (wall time, seconds), None if never; `seen_s` when it was found.
    """

    set: str
    first: Address
    last: Address
    strength: Strength
    until_s: float | None
    seen_s: float
    author: str

    @property
    def key(self) -> tuple[Address, Address]:
        """What tells it from all others of its set."""
        return self.first, self.last

    def __str__(self) -> str:
        """Return the address, the network, or the range from the first to the last address."""
        network = network_between(self.first, self.last)
        return str(network) if network else f"{format_address(self.first)}-{format_address(self.last)}"

    def contains(self, network: Network) -> bool:
        """Whether all addresses of a network are among its addresses."""
        same_family = len(self.first) == len(network.address)
        return same_family and self.first <= network.address and network.last() <= self.last

    def overlaps(self, network: Network) -> bool:
        """Whether they have an address in common."""
        same_family = len(self.first) == len(network.address)
        return same_family and self.first <= network.last() and network.address <= self.last


class Foreign(Protocol):
    """The elements that other programs added to the sets. They stay until they expire or are lifted by an operator."""

    def counts(self) -> Mapping[str, int]:
        """Return how many there are in each set, as last known."""
        ...

    def listed(self, now_s: float) -> list[ForeignElement]:
        """Return those that are known one by one: a bounded number."""
        ...

    def around(self, network: Network, now_s: float) -> list[ForeignElement]:
        """Return those with addresses of this network, as the kernel has them now: a bounded number."""
        ...

    def lift(self, elements: Iterable[ForeignElement], now_s: float) -> None:
        """Delete elements; one that is gone is not an error. TemporaryError or PermanentError if that fails."""
        ...

    def lift_all(self, now_s: float) -> list[ForeignElement]:
        """Delete all that can be; return those of them that were known one by one. Raises what `lift` does."""
        ...


class InForce(Protocol):
    """The ledger's interface for enforcers: the bans that should be in force."""

    def bans(self) -> Iterable[Ban]:
        """Return all bans, including observed ones."""
        ...

    def get(self, network: Network, strength: Strength) -> Ban | None:
        """Return the ban of exactly this network and strength."""
        ...

    def covering(self, network: Network) -> list[Ban]:
        """Return the bans of this network and of the prefixes around it."""
        ...


class Companion(Protocol):
    """What is enforced alongside bans, and is none of them: it follows the allowlist, and goes when all bans do.

    It handles its own failures.
    """

    name: str

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Let these networks pass from now on."""
        ...

    def flush(self) -> None:
        """Remove everything from the kernel."""
        ...


class Enforcer(Protocol):
    """Puts bans into force. nftables leads: a ban that it refuses is not in force. A failing follower affects no other.

    All calls are made on the loop's thread. `now_s` is wall time in seconds.
    """

    name: str
    """Its name in metrics and status."""
    generation: int
    """Increases each time it had to start again from the bans that should be in force, as after a missing table."""
    on_lost: Callable[[list[Failure]], None]
    """Called with bans that were in force and could not be restored when it started again."""

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Put bans into force until they expire; return those that are not in force."""
        ...

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Give active bans a later expiry; return those that kept the old one."""
        ...

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift bans; one that is not in force is not an error."""
        ...

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Replace the allowlist; its networks pass even if they are banned."""
        ...

    def counters(self) -> Mapping[str, Stopped]:
        """Return what each set has stopped."""
        ...

    def stopped(self, ban: Ban) -> Stopped | None:
        """Return what one ban has stopped here; None if it is not in force here."""
        ...

    def held(self, clock: Callable[[], float]) -> Iterator[Held]:
        """Yield the bans in force; `clock` returns wall time in seconds."""
        ...

    def flush(self) -> None:
        """Lift all bans, and delete what was created in the kernel."""
        ...

    def close(self) -> None:
        """Release all descriptors."""
        ...


class Entry(Protocol):
    """One ban in the kernel."""

    @property
    def timeout_s(self) -> float | None:
        """The remaining time in seconds; None means no timeout."""
        ...


Stored: TypeAlias = Mapping[tuple[Strength, int], int]
"""How many bans of single addresses are known to be in force, by strength and bits of an address."""


class Leader(Enforcer, Protocol):
    """The enforcer that decides what is in force. It keeps its bans in the kernel, where others may delete them."""

    is_up: bool
    """Whether it is set up in the kernel, as last known."""
    is_wanted: bool
    """Whether it should be set up: a ban was enforced since it was last deleted on purpose, or tracking needs it."""
    drifts: Counter[str]
    """Changes by other programs, by kind."""
    faults: dict[str, str]
    """What keeps it from being as it should be or from noticing that it is not, by part; a closed set of parts."""
    foreign: Foreign

    @property
    def needs_repair(self) -> bool:
        """Whether `repair` has something to do, as far as is known."""
        return self.is_wanted and not self.is_up

    def exists(self) -> bool:
        """Whether it is set up in the kernel, whichever process did that."""
        ...

    def held(self, clock: Callable[[], float], stored: Stored = MappingProxyType({})) -> Iterator[Held]:
        """Yield the bans in force; `clock` returns wall time in seconds.

        Large sets may be left out if nearly as much is `stored`: bans that are not yielded must be added again.
        """
        ...

    def make(self) -> None:
        """Set it up or complete it, without adding bans; bans in it stay."""
        ...

    def fill(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Add bans after `make`; return those that the kernel refused."""
        ...

    def set_up(self, now_s: float) -> None:
        """Set it up with all bans that should be in force; `on_lost` gets the refused ones."""
        ...

    def repair(self, now_s: float) -> None:
        """Set it up again if it should exist and is missing; a failure is logged, the next call tries again."""
        ...

    def doubt(self, bans: Iterable[Ban]) -> None:
        """Mark bans whose expiry in the kernel may be wrong; `repair` corrects them."""
        ...

    def give_up(self, failures: list[Failure], now_s: float) -> None:
        """Report active bans that the kernel refused to add again; `repair` corrects those of unknown outcome."""
        ...

    def lookup(self, ban: Ban) -> Entry | None:
        """Return the kernel's entry of a ban; None if there is none."""
        ...

    def act(self, action: Action, now_s: float) -> None:
        """Drop or refuse what banned sources send, from now on."""
        ...

    def leaks(self) -> Mapping[str, Stopped]:
        """Return how much traffic of banned sources got through, by hook."""
        ...

    def leaking(self, now_s: float) -> Mapping[str, int]:
        """Return how many packets leaked in about the last minute, by hook; called about once a second."""
        ...

    def leaked(self, network: Network) -> Sequence[str]:
        """Return the hooks that packets of this address reached recently although it is banned."""
        ...
