"""Bans: decisions in force."""

import enum
from typing import TypeAlias

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.ports import show

MANUAL = "manual"
"""The detector name of a ban that a person ordered."""
FLEET = "fleet"
"""The detector name of a ban that a person ordered for all nodes of the fleet."""
RECIDIVE, PREFIX = "recidive", "prefix"
"""The detector names of bans that policy adds: for repeated offences, and of prefixes full of offenders."""
FOREIGN = "foreign"
"""What `list` and `why` call the origin of an element that another program added to a set: it is no ban of ours."""
CROWDSEC = "crowdsec/lapi"
"""The name of claims on what CrowdSec's scenarios, its operators and machines decided."""
OTHER_PEERS = (CROWDSEC, "crowdsec")
"""Names of claims of the origin PEER that are no node of the fleet; no node may have one of them."""
NOT_DETECTORS = (RECIDIVE, PREFIX, MANUAL, FLEET)
"""Names of bans that no detector's alert started; no detector may have one of them."""


WORDS = {Strength.PROVEN: "ban", Strength.SPOOFABLE: "shun", Strength.DESTINATION: "egress"}
"""What the sets of each strength are called, by the kernel's table and by people."""
STRENGTHS = tuple(sorted(Strength, key=lambda strength: strength.number))
"""By number."""


MAX_PREFIXES = 16384
"""The most prefixes each `*_nets` set takes. Kernels before 6.17 count both ends of a prefix and hold half as many."""


MAX_PORT_ELEMENTS = 65_536
"""The most elements of the bans of some ports of each strength, one for each port of a ban."""


MAX_ALLOWED = 16384
"""The most networks on the allowlist, adjacent ones merged."""
MAX_ALLOW_ENTRIES = 4 * MAX_ALLOWED
"""The most entries before they are merged: each costs memory, even inside a wider one."""
MAX_ALLOWED_NODE = 4096
"""How much of that is kept for the node, its cluster, commands and fail2ban's `ignoreip`."""
MAX_ALLOWED_CONFIGURED = MAX_ALLOWED - MAX_ALLOWED_NODE
"""The most networks of `bans.allowlist`, adjacent ones merged."""


class ClaimOrigin(enum.StrEnum):
    """Who claims that a network is banned.

    A network has one claim per origin and name (detector sshd, the operator, list NAME, peer NODE).
    """

    LIST = "list"
    IMPORT = "import"
    PEER = "peer"
    DETECTOR = "detector"
    OPERATOR = "operator"

    is_local: bool
    """Whether `unban` on this node ends the claim."""
    is_bulk: bool
    """Whether such claims come by the thousand: they never fill the room kept for detectors and operators."""

    def __init__(self, text: str) -> None:
        """Note what is asked of each claim, often a hundred thousand times in a row."""
        self.is_local = text not in ("list", "peer")
        self.is_bulk = text not in ("detector", "operator")


class Mode(enum.StrEnum):
    """What a detector's alerts lead to: a ban, or only the record of what would have been one."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


class Action(enum.StrEnum):
    """What becomes of the packets of a source that is banned on proof."""

    DROP = "drop"
    """They vanish."""
    REJECT = "reject"
    """They are answered with a TCP reset or an ICMP error, as far as the rate limit allows."""


class Ban(msgspec.Struct, frozen=True, gc=False):
    """A network that is banned until `until_s`; both times are wall time in seconds since the epoch.

    One claim, or what several claims amount to: then `since_s` is that of the first, all else that of the last to end.
    """

    network: Network
    strength: Strength
    since_s: float
    until_s: float
    detector: str
    """The name of the claim's origin: a detector, `manual`, a list, a peer."""
    reason: str
    mode: Mode = Mode.ENFORCE
    origin: ClaimOrigin = ClaimOrigin.DETECTOR

    @property
    def key(self) -> bytes:
        """Its `ban_key`."""
        return ban_key(self.network, self.strength)

    @property
    def target(self) -> str:
        """What is banned, for people: `192.0.2.7`, `192.0.2.7 (tcp/22)`."""
        ports = self.network.ports
        return f"{self.network} ({', '.join(show(ports))})" if ports else str(self.network)

    @property
    def word(self) -> str:
        """What the kernel's set of this strength is called.

        `ban` drops everything from a source, `shun` only its new connections, `egress` new connections to a
        destination.
        """
        return WORDS[self.strength]

    @property
    def title(self) -> str:
        """What people call it: a ban, a shun, an egress ban."""
        return "egress ban" if self.strength is Strength.DESTINATION else self.word


_TAILS = tuple(tuple(bytes((length, strength.number)) for length in range(129)) for strength in STRENGTHS)
"""By number of the strength and length of the prefix, how a key ends: keys are made more often than anything else."""
_TAILS_OF_LENGTH = tuple(zip(*_TAILS, strict=True))


def ban_key(network: Network, strength: Strength) -> bytes:
    """Return network and strength as bytes: a hundred thousand of them are half as large as tuples."""
    if network.ports:  # of another length than all keys without ports, by three
        end = bytes((len(network.address), network.prefix_length, strength.number))
        return network.address + network.ports + end
    return network.address + _TAILS[strength.number][network.prefix_length]


def whole_keys(network: Network) -> list[bytes]:
    """Return the `ban_key` of a network without ports in each strength, by number of the strength."""
    address = network.address
    first, second, third = _TAILS_OF_LENGTH[network.prefix_length]
    return [address + first, address + second, address + third]


def read_ban_key(key: bytes) -> tuple[Network, Strength]:
    """Return what `ban_key` was made of."""
    if len(key) % 3 == 1:
        size = key[-3]
        return Network(key[:size], key[-2], key[size:-3]), STRENGTHS[key[-1]]
    return Network(key[:-2], key[-2]), STRENGTHS[key[-1]]


ClaimKey: TypeAlias = tuple[Network, Strength, ClaimOrigin, str]


def claim_key(claim: Ban) -> ClaimKey:
    """Return what tells a claim from all others."""
    return claim.network, claim.strength, claim.origin, claim.detector


class Held(msgspec.Struct, frozen=True, gc=False):
    """A network that an enforcer holds in force until `until_s` (wall time in seconds)."""

    network: Network
    strength: Strength
    until_s: float

    @property
    def key(self) -> bytes:
        """Its `ban_key`."""
        return ban_key(self.network, self.strength)


class Spared(enum.StrEnum):
    """Why an alert led to no ban, whatever the mode of its detector: a closed set, which is stored."""

    OVER_BUDGET = "over_budget"
    ALLOWLISTED = "allowlisted"
    FULL = "full"


class Standing(enum.StrEnum):
    """What makes a source no stranger: a ban of it deserves a second thought before its detector enforces."""

    ALLOWLISTED = "allowlisted"
    """It is on the allowlist."""
    INTERNAL = "internal"
    """It is in an internal network (`bans.internal`)."""
    CLIENT = "client"
    """It was a client of the node before the evidence about it began, and that evidence proves nothing."""


class Offence(msgspec.Struct, frozen=True, gc=False):
    """A ban that began (or in observe mode would have): what escalation and recidive count, and `why` tells.

    `step` is the escalation step that gave `bantime_s`, 0 for the first. `evidence` is the alert's RecordedEvidence as
    JSON, empty for a ban ordered by hand. One that was `spared` is history only: neither escalation nor recidive
    counts it.
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
    spared: Spared | None = None
    standing: Standing | None = None

    @property
    def outcome(self) -> str:
        """What came of it, in one word: `ban`, `observe`, or why it was spared."""
        return self.spared or ("ban" if self.mode is Mode.ENFORCE else "observe")


OUTCOMES = ("ban", "observe", *Spared)
"""All that `Offence.outcome` can be."""


ADMIN_GROUPS = ("root", "sudo", "wheel", "adm", "admin")
"""Groups whose members administrate the node, in the common distributions."""


class AllowEntry(msgspec.Struct, frozen=True, gc=False):
    """A network that is never banned, and why."""

    network: Network
    reason: str
