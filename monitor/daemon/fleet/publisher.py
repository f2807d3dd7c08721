"""Follows what is decided on this node, and has the outbox publish what concerns the fleet."""

import time
from collections.abc import Callable, Sequence

from monitor.bans.decision import ENTERED, Decision, Ended, Ending
from monitor.bans.ledger import Ledger
from monitor.fleet.outbox import FleetOutbox
from monitor.fleet.publication import is_shared, shared_claim
from monitor.fleet.settings import FleetSettings
from monitor.model.bans import Ban, ClaimOrigin


class Publisher:
    """Notes in the outbox which bans differ from what was published; `wake` is called if there are any."""

    def __init__(
        self,
        settings: FleetSettings,
        ledger: Ledger,
        outbox: FleetOutbox,
        wake: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`wall` gives wall time in seconds."""
        self._settings = settings
        self._ledger = ledger
        self._outbox = outbox
        self._wake = wake
        self._wall = wall

    def settled(self, decisions: Sequence[Decision]) -> None:
        """Publish what detectors here banned, and what was ordered for the fleet."""
        found = False
        for decision in decisions:
            claim = decision.claim
            if claim is None or decision.ban is None or decision.verdict not in ENTERED:
                continue
            if is_shared(claim, self._settings):
                self._outbox.note(claim.key)
                found = True
        if found:
            self._wake()

    def ended(self, ended: Sequence[Ended]) -> None:
        """Publish the ends of what was published."""
        found = False
        for one in ended:
            if over := [claim for claim in one.claims if is_shared(claim, self._settings)]:
                self._note_end(over, one.cause)
                found = True
        if found:
            self._wake()

    def _note_end(self, over: Sequence[Ban], cause: Ending) -> None:
        key = over[0].key
        if cause is not Ending.EXPIRED:
            self._outbox.note(key)
        elif shared_claim(self._ledger.claims_of(key), self._settings, self._wall()) is None:
            self._outbox.note(key, max(claim.until_s for claim in over))

    def moved(self, claims: Sequence[Ban]) -> None:
        """Publish the other times of claims."""
        for claim in claims:
            if is_shared(claim, self._settings):
                self._outbox.note(claim.key)
        self._wake()

    def follow(self, settings: FleetSettings) -> None:
        """Follow a changed configuration: take back what is no longer shared, publish what is now."""
        before, self._settings, now_s = self._settings, settings, self._wall()
        for key in self._ledger.keys_of((ClaimOrigin.DETECTOR, ClaimOrigin.OPERATOR)):
            claims = self._ledger.claims_of(key)
            was_shared = shared_claim(claims, before, now_s) is not None
            if was_shared is not (shared_claim(claims, settings, now_s) is not None):
                self._outbox.note(key)
        self._outbox.settings = settings
