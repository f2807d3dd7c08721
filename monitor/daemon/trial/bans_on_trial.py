"""Watches the bans that are made while a trial configuration waits: one of a known-good source ends the trial."""

from collections.abc import Callable, Sequence

from monitor.bans.decision import Decision, Verdict
from monitor.daemon.pipeline.listeners import Listener
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Alert
from monitor.model.bans import ClaimOrigin

_MOST_NOTED = 64

GoodReason = Callable[[Network, Alert | None], str]
"""Says why a network is known-good; empty: it is not."""


class BansOnTrial(Listener):
    """Notes new bans of known-good sources, which are then lifted: the trial was wrong about them."""

    name = "trial"

    def __init__(self, keeper: TrialKeeper, good_reason: GoodReason) -> None:
        """Take what keeps the trial; `good_reason` knows the allowlist, internal networks, clients and labels."""
        self._keeper = keeper
        self._good_reason = good_reason
        self._known: tuple[tuple[str, ...], list[Network]] = ((), [])
        self.wrong: list[Network] = []
        """Networks whose bans are to be lifted."""

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Look at the bans of a batch that are new and in force."""
        if self._keeper.trial is None:
            return
        for decision in decisions:
            ban = decision.ban
            if decision.verdict is not Verdict.BAN or ban is None or ban.origin is not ClaimOrigin.DETECTOR:
                continue
            reason = self._reason(decision.network, decision.alert)
            if reason and len(self.wrong) < _MOST_NOTED:
                self.wrong.append(decision.network)
                self._keeper.banned_good = self._keeper.banned_good or (
                    f"{decision.network} ({reason}) by {ban.detector}; its ban is lifted"
                )

    def take(self) -> list[Network]:
        """Return the networks whose bans are to be lifted, each once."""
        wrong, self.wrong = self.wrong, []
        return wrong

    def _reason(self, network: Network, alert: Alert | None) -> str:
        """Return why a network is known-good, in one word."""
        if reason := self._good_reason(network, alert):
            return reason
        trial = self._keeper.trial
        named = trial.known_good if trial else ()
        if self._known[0] is not named:
            self._known = named, [parse_network(text) for text in named]
        return "client" if any(one.overlaps(network) for one in self._known[1]) else ""
