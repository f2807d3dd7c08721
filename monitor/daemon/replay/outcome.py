"""Outcomes: what came of the inputs, flat enough to be compared ban for ban and to be printed as JSON lines."""

import enum
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from monitor.bans.decision import Decision, Ended
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.addresses import Address, Network, format_address
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.bans import Mode


class Kind(enum.StrEnum):
    """What an outcome is."""

    ALERT = "alert"
    """A detector reached its threshold; a decision follows."""
    FLOOD = "flood"
    """A threshold was reached by nobody in particular; `reason` says what is attacked."""
    DECISION = "decision"
    """What became of an alert or an order: `verdict` (`monitor.bans.decision.Verdict`)."""
    ENDED = "ended"
    """A ban, or claims of it, are over: `verdict` is why (`monitor.bans.decision.Ending`)."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened at `time_s`, the time of the input that led to it (wall time, seconds)."""

    time_s: float
    kind: Kind
    detector: str
    network: Network | None = None
    strength: str = ""
    verdict: str = ""
    mode: str = ""
    since_s: float = 0.0
    until_s: float = 0.0
    """When the ban ends; that of an `ended` one is when it would have."""
    reason: str = ""
    count: int = 0
    """Of an alert: how many were counted."""
    source: Address = b""
    """Of an alert: the address that crossed the threshold."""
    doubt: str = ""
    step: int = 0
    """The escalation step that gave the ban time."""

    def shown(self) -> dict[str, Any]:
        """Return it for JSON, without what is empty."""
        shown = {name: value for name, value in msgspec.structs.asdict(self).items() if value or name == "time_s"}
        if self.network is not None:
            shown["network"] = str(self.network)
        if self.source:
            shown["source"] = format_address(self.source)
        return shown


class OutcomeListener(Listener):
    """Collects outcomes in `outcomes`; whoever takes them from there empties it."""

    name = "outcomes"

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns the time of the input that is carried out."""
        self._clock = clock
        self.outcomes: list[Outcome] = []

    def alerted(self, alert: Alert, mode: Mode) -> None:
        """Take an alert."""
        evidence = alert.evidence
        self.outcomes.append(
            Outcome(
                self._clock(),
                Kind.ALERT,
                alert.detector,
                alert.network,
                alert.strength,
                mode=mode,
                since_s=evidence.first_s,
                reason=evidence.what,
                count=evidence.count,
                source=alert.source,
                doubt=alert.doubt,
            )
        )

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:
        """Take a flood."""
        evidence = alert.evidence
        reason = f"{evidence.what}, mostly to {alert.target}"
        self.outcomes.append(
            Outcome(self._clock(), Kind.FLOOD, alert.detector, mode=mode, reason=reason, count=evidence.count)
        )

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - not by the input's clock
        """Take decisions."""
        self.outcomes += map(self._decided, decisions)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Take ends, a line for each claim."""
        now_s = self._clock()
        for one in ended:
            for claim in one.claims or (one.ban,):
                self.outcomes.append(
                    Outcome(
                        now_s,
                        Kind.ENDED,
                        claim.detector,
                        claim.network,
                        claim.strength,
                        one.cause,
                        claim.mode,
                        claim.since_s,
                        claim.until_s,
                        claim.reason,
                    )
                )

    def _decided(self, one: Decision) -> Outcome:
        claim = one.claim or one.wish or one.ban
        return Outcome(
            self._clock(),
            Kind.DECISION,
            one.detector,
            one.network,
            claim.strength if claim else "",
            one.verdict,
            claim.mode if claim else "",
            claim.since_s if claim else 0.0,
            claim.until_s if claim else 0.0,
            claim.reason if claim else one.failure,
            one.alert.evidence.count if one.alert else 0,
            one.alert.source if one.alert else b"",
            one.alert.doubt if one.alert else "",
            one.step,
        )
