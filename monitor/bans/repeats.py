"""Repeat offenders: how often a network offended, and which longer or wider bans follow from that."""

from monitor.bans.escalation import Escalation
from monitor.bans.ladder import Ladder, Recidive
from monitor.bans.rules import Rules
from monitor.model.addresses import Network
from monitor.model.bans import PREFIX, RECIDIVE, Offence
from monitor.model.saved_rows import SavedWindow


class RepeatOffenders:
    """Counts the offences of one strength of evidence; bounded.

    Each strength has tables of its own: forged offences neither displace proven ones, nor add up with them to a ban
    that needs proof.
    """

    def __init__(self, rules: Rules) -> None:
        """Start with nobody known."""
        self._escalation = Escalation(rules.increment)
        self._ladder = Ladder(rules.ladder, rules.ladder_findtime_s)
        self._recidive = (
            Recidive(
                maxretry=rules.recidive_maxretry,
                findtime_s=rules.recidive_findtime_s,
                bantime_s=rules.recidive_bantime_s,
            )
            if rules.recidive_maxretry >= 2
            else None
        )

    def tables(self) -> dict[str, SavedWindow]:
        """Return what is counted, by name: a recording that starts in the middle of a run repeats it."""
        recidive = {"recidive": self._recidive.table} if self._recidive else {}
        return {"escalation": self._escalation, **recidive, **self._ladder.tables()}

    def step(self, network: Network, detector: str, time_s: float) -> int:
        """Return how many offences still count at `time_s`."""
        return self._escalation.step(network, detector, time_s)

    def count(self, offence: Offence) -> list[tuple[str, Network, float]]:
        """Count an offence; return the bans that follow from it: detector, network, duration in seconds."""
        self._escalation.count(offence)
        follow_ups = []
        if self._recidive and self._recidive.crosses(offence):
            follow_ups.append((RECIDIVE, offence.network, self._recidive.bantime_s))
        if (prefix := self._ladder.climb(offence)) is not None:
            follow_ups.append((PREFIX, prefix, offence.bantime_s))
        return follow_ups
