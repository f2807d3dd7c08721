"""Has the store remember claims and offences: a listener."""

from collections.abc import Sequence
from typing import Protocol

from monitor.bans.decision import Decision, Ended
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.bans import Ban, Offence


class Record(Protocol):
    """Who writes down what changes, for the next start of the daemon."""

    def put_ban(self, ban: Ban) -> None:
        """Note a claim that is new, or has other times."""

    def remove_ban(self, ban: Ban) -> None:
        """Note the end of a claim."""

    def clear_bans(self) -> None:
        """Note the end of all claims, whatever they are."""

    def add_offence(self, offence: Offence) -> None:
        """Note an offence."""


class DecisionRecord(Listener):
    """Passes on what must outlive a restart; the record gathers it and writes from a thread of its own."""

    name = "store"

    def __init__(self, record: Record) -> None:
        """Write into `record`."""
        self._record = record

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Record claims and offences."""
        for decision in decisions:
            if decision.ban is None or decision.claim is None:
                continue
            self._record.put_ban(decision.claim)
            if decision.offence:
                self._record.add_offence(decision.offence)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Strike claims out."""
        for one in ended:
            for claim in one.claims:
                self._record.remove_ban(claim)

    def flushed(self) -> None:
        """Strike all claims out."""
        self._record.clear_bans()

    def moved(self, claims: Sequence[Ban]) -> None:
        """Record the other times."""
        for claim in claims:
            self._record.put_ban(claim)
