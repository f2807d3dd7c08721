"""Who can reach what: the answers of the kernel to real packets."""

import enum
from typing import Literal

import msgspec

from monitor.audit.findings import RuleRef, Zone
from monitor.audit.rules.authors import author_of_table
from monitor.audit.ruleset import Author

Protocol = Literal["tcp", "udp"]
_PASSED_ON = "policy accept"


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that takes connections or datagrams."""

    protocol: Protocol
    address: str
    """In text; `0.0.0.0` and `::` mean all addresses of the family; `::` without `is_v6_only` both families."""
    port: int
    is_v6_only: bool = False
    process: str = ""
    """Its name; empty if it is not known."""
    pid: int = 0
    unit: str = ""
    """The systemd unit or container that it runs in."""
    device: str = ""
    """The only interface that it takes packets of (SO_BINDTODEVICE); empty for all."""

    @property
    def is_loopback(self) -> bool:
        """Whether only the node itself can name its address."""
        return self.address.startswith("127.") or self.address == "::1"


class Outcome(enum.StrEnum):
    """What became of a probe."""

    REACHED = "reached"
    """It arrived at the listener, or left for the pod or container behind the node."""
    DROPPED = "dropped"
    REJECTED = "rejected"
    """A rule answered it with an error."""
    UNKNOWN = "unknown"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One packet that opens a connection, or one datagram."""

    zone: Zone
    protocol: Protocol
    address: str
    """The node's address that it was sent to."""
    port: int

    @property
    def is_v6(self) -> bool:
        """Whether it went over IPv6."""
        return ":" in self.address


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that the probe met, and what the rule did: `accept`, `drop`, `jump CHAIN`, `dnat`, `policy accept`."""

    rule: RuleRef
    verdict: str
    hook: str = ""
    """The hook of the base chain that the packet was in; empty if it is not known."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel did with a probe."""

    probe: Probe
    outcome: Outcome
    to_address: str = ""
    """Where destination translation sent it; empty: nowhere else."""
    to_port: int = 0
    path: tuple[Step, ...] = ()
    """The rules with a verdict that it met, in order."""
    why: str = ""
    """Why the outcome is unknown."""

    @property
    def decider(self) -> Step | None:
        """What decides: the last step; None if there is none.

        A chain that lets everything through by its policy decides nothing where a rule of another chain at the same
        hook accepts the packet: without that rule it might have been dropped.
        """
        if not self.path or self.path[-1].verdict != _PASSED_ON:
            return self.path[-1] if self.path else None
        last = [step for step in self.path if step.hook == self.path[-1].hook]
        accepting = [step for step in last if step.verdict == "accept"]
        foreign = [step for step in last if author_of_table(step.rule.table) is not Author.NODEWARDEN]
        return next(reversed(accepting or foreign), None)

    @property
    def decided_by(self) -> RuleRef | None:
        """The rule that decides; None if no rule did."""
        return self.decider.rule if self.decider else None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """All that was tried."""

    listeners: tuple[Listener, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """For each listener and each translated port, by zone and address of the node."""
    untranslated: tuple[Verdict, ...] = ()
    """The same for each translated port that the world reached, with destination translation taken out of the copy:
    what the rules for the node itself say about the port."""
    unnamed: tuple[Verdict, ...] = ()
    """The same for ports that nobody listens at and that are no service, as if somebody listened: what the world meets
    where no rule names a port."""
    blind: tuple[str, ...] = ()
    """What decides on packets and is not in the copy, such as an XDP program: every verdict may be wrong."""
    loss: tuple[str, ...] = ()
    """What of the rules could not be copied."""
