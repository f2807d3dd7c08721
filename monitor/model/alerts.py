"""Alerts: a detector fired, and this is what it saw."""

import enum

import msgspec

from monitor.model.addresses import Address, Network


class Strength(enum.StrEnum):
    """What the evidence proves about whom, and so which set a ban goes to.

    PROVEN: the source completed a handshake, or an application logged its failure: nobody else can have sent it.
    SPOOFABLE: anyone can forge it (a SYN, a UDP packet, a logged drop): only new inbound connections are refused.
    DESTINATION: it is not about a source, but about whom the node or its pods called: it may no longer be called.
    """

    PROVEN = "proven"
    SPOOFABLE = "spoofable"
    DESTINATION = "destination"

    number: int
    """A small number for each, from 0: hashing members of enumerations a hundred thousand times takes long."""

    def __init__(self, text: str) -> None:
        """Give it its number."""
        self.number = ("spoofable", "proven", "destination").index(text)


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What a detector saw: `count` distinct things (threshold `maxretry`) within `findtime_s`."""

    count: int
    maxretry: int
    findtime_s: float
    first_s: float
    last_s: float
    what: str
    """What was counted, for people: 'distinct ports', 'distinct hosts on tcp/22'."""
    sample: tuple[str, ...] = ()
    """A bounded number of the things counted."""
    last: str = ""
    """What counted last, as its source reported it: the log line or the packet, at most `MAX_LAST` characters."""


MAX_LAST = 400
"""Characters kept of a log line: an attacker chooses its length, and a hundred thousand of them are stored."""


class RecordedEvidence(Evidence, frozen=True, gc=False):
    """Evidence as it is stored, with what put it in doubt (empty: nothing)."""

    doubt: str = ""

    @classmethod
    def of(cls, alert: "Alert") -> "RecordedEvidence":
        """Return what to store of an alert."""
        return cls(**msgspec.structs.asdict(alert.evidence), doubt=alert.doubt)


class Party(msgspec.Struct, frozen=True, gc=False):
    """The side of the node in what counted last: what was attacked, or what called out. Empty where it is unknown."""

    address: Address = b""
    """After destination NAT: of a pod rather than of its service."""
    service: str = ""
    """`tcp/22`, or the detector of the log in which the application reported it: `sshd`."""
    pod: str = ""
    """`NAMESPACE/POD` where the log is a pod's; others are found by address."""


UNKNOWN_PARTY = Party()


class Alert(msgspec.Struct, frozen=True, gc=False):
    """A detector's threshold was crossed at `time_s` (the event's time).

    `network` is what is to be banned: the source alone for IPv4, its prefix for IPv6, where one host has more addresses
    than could be counted. `source` is the address that crossed the threshold, `is_alone` whether it did so by itself;
    otherwise the whole prefix did.
    """

    detector: str
    time_s: float
    source: Address
    network: Network
    is_alone: bool
    strength: Strength
    evidence: Evidence
    handshakes: bytes | None = None
    """Where what was counted are completed handshakes: their key among those that are known (detectors.proofs)."""
    doubt: str = ""
    """Why the evidence is not held against its source: then it is only observed. Empty: there is no doubt."""
    longest_s: float = float("inf")
    """The longest ban that this evidence justifies, in seconds."""
    ours: Party = UNKNOWN_PARTY


class FloodAlert(msgspec.Struct, frozen=True, gc=False):
    """A threshold was crossed by nobody in particular: sources are many, and probably forged. Nobody is banned."""

    detector: str
    time_s: float
    target: str
    """What is attacked, for people."""
    evidence: Evidence
    ours: Party = UNKNOWN_PARTY

    def __str__(self) -> str:
        """Say what goes on."""
        evidence = self.evidence
        return f"{evidence.count} {evidence.what} within {evidence.findtime_s:g} s, mostly to {self.target}"
