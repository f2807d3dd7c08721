"""What a message says, whatever channel takes it."""

import enum
from typing import Any

import msgspec


class Kind(enum.StrEnum):
    """What a message is about."""

    BAN = "ban"
    """Bans of one group, of a detector and a set."""
    PROBLEM = "problem"
    PROBLEM_OVER = "problem_over"
    FLOOD = "flood"
    OTHER = "other"
    """Changes of the table, of the clock, of a trial configuration."""
    TEST = "test"


class Urgency(enum.StrEnum):
    """How urgent it is, from the least to the most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One ban, or one other event, of a message. All texts are data: they may hold what attackers wrote."""

    time_s: float
    text: str
    """One line for people."""
    network: str = ""
    reason: str = ""
    detector: str = ""
    set: str = ""
    strength: str = ""
    """The grade of the evidence: `proven` or `spoofable`."""
    until_s: float = 0.0
    why: str = ""
    """The command that shows everything that is known of it."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message: a single event at once, or the digest of a group."""

    host: str
    kind: Kind
    urgency: Urgency
    group: str
    """What it is grouped by, stable: `ban sshd ban`, `problem room`."""
    title: str
    """One line, with the host's name."""
    items: tuple[Item, ...]
    """A few of the events, the newest last."""
    count: int
    """How many events it stands for, at least as many as `items`."""
    unseen: int = 0
    """How many more happened of which nothing else is known, such as events that the daemon no longer keeps."""
    since_s: float
    time_s: float
    is_digest: bool = False
    event: dict[str, Any] = {}
    """For a single event, the object of `nodewarden events --json` (docs/events.md)."""
