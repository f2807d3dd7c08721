"""Bans: decisions in force."""

import enum

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength

MANUAL = "manual"
"""The detector name of a ban that a person ordered."""
RECIDIVE, PREFIX = "recidive", "prefix"
"""The detector names of bans that policy adds: for repeated offences, and of prefixes full of offenders."""
NOT_DETECTORS = (RECIDIVE, PREFIX, MANUAL)
"""Names of bans that no detector's alert started; no detector may have one of them."""


WORDS = {Strength.PROVEN: "ban", Strength.SPOOFABLE: "shun", Strength.DESTINATION: "block"}
"""What the sets of each strength are called, by the kernel's table and by people."""
STRENGTHS = tuple(sorted(Strength, key=lambda strength: strength.number))
"""By number."""


class Mode(enum.StrEnum):
    """What a detector's alerts lead to: a ban, or only the record of what would have been one."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class Ban(msgspec.Struct, frozen=True, gc=False):
    """A network that is banned until `until_s`; both times are wall time in seconds since the epoch."""

    network: Network
    strength: Strength
    since_s: float
    until_s: float
    detector: str
    reason: str
    mode: Mode = Mode.ENFORCE

    @property
    def word(self) -> str:
        """What the kernel's set of this strength is called.

        `ban` drops everything from a source, `shun` only its new connections, `block` new connections to a destination.
        """
        return WORDS[self.strength]


def ban_key(network: Network, strength: Strength) -> bytes:
    """Return network and strength as bytes: a hundred thousand of them are half as large as tuples."""
    return network.address + bytes((network.prefix_length, strength.number))


def read_ban_key(key: bytes) -> tuple[Network, Strength]:
    """Return what `ban_key` was made of."""
    return Network(key[:-2], key[-2]), STRENGTHS[key[-1]]


class Offence(msgspec.Struct, frozen=True, gc=False):
    """A ban that began (or in observe mode would have): what escalation and recidive count, and `why` tells.

    `step` is the escalation step that gave `bantime_s`, 0 for the first. `evidence` is the alert's Evidence as JSON,
    empty for a ban ordered by hand.
    """

    time_s: float
    network: Network
    detector: str
    strength: Strength
    mode: Mode
    bantime_s: float
    step: int
    reason: str
    evidence: bytes = b""


class AllowEntry(msgspec.Struct, frozen=True, gc=False):
    """A network that is never banned, and why."""

    network: Network
    reason: str
