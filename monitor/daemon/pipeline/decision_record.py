"""Has the store remember claims and the history: a listener."""

from collections.abc import Sequence
from typing import Protocol

from monitor.bans.decision import Decision, Ended
from monitor.daemon.pipeline.history_intake import HistoryIntake
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.bans import Ban, Offence
from monitor.state.changes import TallyKey


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

    def count_offence(self, key: TallyKey) -> None:
        """Count an offence, noted or not."""


class DecisionRecord(Listener):
    """Passes on what must outlive a restart; the record gathers it and writes from a thread of its own."""

    name = "store"

    def __init__(self, record: Record, intake: HistoryIntake | None = None) -> None:
        """Write into `record`; `intake` decides what of the history gets a row of its own."""
        self._record = record
        self._intake = intake or HistoryIntake()

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Record claims, and what the history tells."""
        for decision in decisions:
            if decision.ban is not None and decision.claim is not None:
                self._record.put_ban(decision.claim)
            if wanted := decision.offence or decision.spared:
                self._note(decision, wanted, done_s)

    def _note(self, decision: Decision, offence: Offence, done_s: float) -> None:
        taken = self._intake.take(decision, offence, done_s)
        if taken is not None:
            self._record.count_offence(taken.key)
            if taken.offence:
                self._record.add_offence(taken.offence)

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
