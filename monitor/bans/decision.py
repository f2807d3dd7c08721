"""Decisions: what became of an alert or an order, and why a ban ended."""

import enum
from typing import NamedTuple

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Alert
from monitor.model.bans import AllowEntry, Ban, Mode, Offence


class Verdict(enum.StrEnum):
    """What was decided; a closed set, used as a metric label."""

    BAN = "ban"
    """A new ban is in force."""
    REFRESH = "refresh"
    """A ban in force lasts longer."""
    CLAIM = "claim"
    """A ban in force lasts as long already; the claim of this origin now holds it too."""
    OBSERVE = "observe"
    """It would have been a ban, but the detector only observes."""
    OVER_BUDGET = "over_budget"
    """It is only observed, because there were too many bans within a minute."""
    ALLOWLISTED = "allowlisted"
    """Refused: the guard protects the address."""
    COVERED = "covered"
    """Nothing to do: a ban in force does as much already."""
    STALE = "stale"
    """Refused: it would have ended before now."""
    FULL = "full"
    """Refused: there is no room, and no weaker claim that could yield."""
    REFUSED = "refused"
    """The kernel refused it: nothing is in force, and nothing counts as an offence."""


WRITTEN = frozenset({Verdict.BAN, Verdict.REFRESH})
"""Verdicts that need an enforcer."""
ENTERED = frozenset({*WRITTEN, Verdict.CLAIM, Verdict.OBSERVE, Verdict.OVER_BUDGET})
"""Verdicts with a claim that goes into the ledger."""


class Decision(msgspec.Struct, frozen=True):
    """A verdict with what it rests on.

    Until it is settled it is a proposal: `claim` is what is to be entered. `ban` is what the claims amount to then, or
    the ban that covers a wish. `failure` says why the kernel refused it.
    """

    verdict: Verdict
    network: Network
    detector: str
    claim: Ban | None = None
    ban: Ban | None = None
    entry: AllowEntry | None = None
    alert: Alert | None = None
    step: int = 0
    """The escalation step that gave the ban time."""
    is_paid: bool = False
    """Whether it took one ban from the budget."""
    yielding: Ban | None = None
    """The ban that ends to make room for this one."""
    wish: Ban | None = None
    """The claim that was not entered, because the network is on the allowlist or there is no room."""
    offence: Offence | None = None
    """What it adds to the history, once settled."""
    spared: Offence | None = None
    """What it adds to the history although nothing came of it and nothing counts it, once settled."""
    failure: str = ""


class FollowUp(msgspec.Struct, frozen=True):
    """A ban that follows from a ban in force: of a repeat offender, or of a prefix full of offenders."""

    detector: str
    network: Network
    bantime_s: float
    alert: Alert
    decision: Decision


class Ending(enum.StrEnum):
    """Why a ban is over: a closed set, used as a metric label."""

    EXPIRED = "expired"
    LIFTED = "lifted"
    ALLOWLISTED = "allowlisted"
    YIELDED = "yielded"
    """A stronger claim needed its room."""
    WITHDRAWN = "withdrawn"
    """What the ban rested on proved to be no evidence."""
    REFUSED = "refused"
    """The kernel refused it when the table was set up again."""


class Ended(msgspec.Struct, frozen=True):
    """A ban that is over, or the claims of it that are: `remaining` is what other claims still hold."""

    ban: Ban
    claims: tuple[Ban, ...]
    cause: Ending
    remaining: Ban | None = None

    @property
    def is_displaced(self) -> bool:
        """Whether this was only observed and newer entries took its place: such ends are counted, and no event."""
        return self.ban.mode is Mode.OBSERVE and self.cause is Ending.YIELDED


class Settlement(NamedTuple):
    """What a batch came to: its decisions, the bans that follow from those in force, the bans that made room."""

    decisions: list[Decision]
    follow_ups: list[FollowUp]
    ended: list[Ended]
