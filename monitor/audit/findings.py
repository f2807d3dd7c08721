"""What an audit finds: states, severities, findings and where they are."""

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

Short = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=2048)]


class Severity(enum.StrEnum):
    """How bad a finding is, from the least to the worst."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return a number that grows with the severity, from 0."""
        return list(Severity).index(self)


class State(enum.StrEnum):
    """What became of a check, or of one of its subjects."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"
    """It could not be judged; the text says why. Never a pass."""
    SUPPRESSED = "suppressed"
    """It fails, and the operator accepts that for a reason and for a time."""


class Zone(enum.StrEnum):
    """Where a connection comes from."""

    WORLD = "world"
    """Beyond the networks that the node has an address in."""
    NODES = "nodes"
    """A neighbour in a network of the node, such as another node."""
    PODS = "pods"
    """A pod or container of this node."""


class RuleRef(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the node's firewall, or the policy of a base chain (`handle` 0)."""

    family: Short
    table: Short
    chain: Short
    handle: int = 0
    text: Text = ""

    def __str__(self) -> str:
        place = f"{self.family} {self.table} {self.chain}"
        return f"{place}: {self.text}" if self.text else place


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One subject that a check judged: `check` and `subject` identify it from one run to the next."""

    check: Short
    subject: Short
    """What it is about, in a form that stays the same: `tcp/10250`, `ip filter INPUT`, `net.ipv4.ip_forward`."""
    state: State
    severity: Severity
    text: Text
    """One sentence: what was found, or why nothing could be."""
    zones: tuple[Zone, ...] = ()
    """From where, for what can be reached."""
    rule: RuleRef | None = None
    """The rule that decides."""
    location: Text = ""
    """The file where it can be changed, if it is one."""
    remedy: Text = ""
    """What would repair this one; empty: what the check says."""
    suppressed_for: Text = ""
    """The operator's reason."""
    suppressed_until_s: float = 0.0
