"""What people order over the control socket: bans, their end, the allowlist. Each thing named gets its own answer."""

import time
from collections.abc import Iterable
from typing import Any, Protocol

from monitor.control.protocol import AllowAdd, AllowRemove, BanOrder, Unban
from monitor.daemon.control.presentation import show_decision
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import WORDS, Ban
from monitor.state.changes import Allowed

_MAX_BANTIME_S = 10 * 365 * 86400.0
_MAX_REASON = 200
_STRENGTHS = {word: strength for strength, word in WORDS.items()}
Answer = dict[str, Any]


class AllowRecord(Protocol):
    """Who writes down what was allowed by command."""

    def put_allowed(self, entry: Allowed) -> None:
        """Note an entry."""

    def remove_allowed(self, network: Network) -> None:
        """Note that an entry is gone."""


class Orders:
    """Carries out orders on the pipeline."""

    def __init__(self, pipeline: Pipeline, record: AllowRecord) -> None:
        """`record` keeps what is allowed by command across restarts."""
        self._pipeline = pipeline
        self._record = record

    def ban(self, request: BanOrder) -> list[Answer]:
        """Ban what can be banned; each of the others is refused with a sentence."""
        now_s = time.time()
        answers: list[Answer | None] = []
        decisions = []
        for wanted in request.bans:
            try:
                network = parse_network(wanted.network)
                bantime_s = _bantime(wanted.bantime_s)
            except ValueError as error:
                answers.append(_refusal(wanted.network, error))
                continue
            strength = _STRENGTHS[wanted.set]
            reason = wanted.reason[:_MAX_REASON]
            decisions.append(self._pipeline.policy.order(network, strength, bantime_s, reason, now_s))
            answers.append(None)
        failures = {failure.network: failure.reason for failure in self._pipeline.carry_out(decisions, now_s)}
        decided = iter([show_decision(decision, failures.get(decision.network)) for decision in decisions])
        return [answer or next(decided) for answer in answers]

    def unban(self, request: Unban) -> list[Answer]:
        """End the bans of exactly these networks, or all."""
        ledger = self._pipeline.ledger
        if request.everything:
            lifted = list(ledger.bans())
            self._pipeline.lift(lifted, time.time())
            return [_done(str(ban.network), f"{ban.title} lifted") for ban in lifted]
        answers = []
        ended: list[Ban] = []
        for text, network in _networks(request.networks):
            if not isinstance(network, Network):
                answers.append(_refusal(text, network))
            elif bans := [ban for strength in Strength if (ban := ledger.get(network, strength))]:
                ended += bans
                answers.append(_done(str(network), " and ".join(ban.title for ban in bans) + " lifted"))
            else:
                answers.append(_refusal(text, self._why_not_banned(network)))
        self._pipeline.lift(ended, time.time())
        return answers

    def allow(self, request: AllowAdd) -> list[Answer]:
        """Never ban these networks again, and end the bans inside them."""
        answers = []
        entries = []
        now_s = time.time()
        reason = f"allowed by command: {request.reason[:_MAX_REASON]}" if request.reason else "allowed by command"
        for text, network in _networks(request.networks):
            if not isinstance(network, Network):
                answers.append(_refusal(text, network))
                continue
            entries.append(Allowed(network, reason, now_s))
            answers.append(_done(str(network), "allowed"))
        for entry in entries:
            self._record.put_allowed(entry)
        self._pipeline.allow((entry.entry for entry in entries), now_s)
        return answers

    def disallow(self, request: AllowRemove) -> list[Answer]:
        """Take back what was allowed by command; what else allows a network is named."""
        named = list(_networks(request.networks))
        gone = self._pipeline.disallow((network for _, network in named if isinstance(network, Network)), time.time())
        answers = []
        for text, network in named:
            if not isinstance(network, Network):
                answers.append(_refusal(text, network))
                continue
            entry = self._pipeline.guard.protects(network)
            still = f"; {entry.network} still is ({entry.reason})" if entry else ""
            if network in gone:
                self._record.remove_allowed(network)
                answers.append(_done(str(network), f"no longer allowed by command{still}"))
            else:
                answers.append(_refusal(text, f"was not allowed by command{still}"))
        return answers

    def _why_not_banned(self, network: Network) -> str:
        around = [str(ban.network) for ban in self._pipeline.ledger.covering(network)]
        return f"not banned itself, but inside {', '.join(around)}: unban that" if around else "not banned"


def _networks(texts: Iterable[str]) -> Iterable[tuple[str, Network | ValueError]]:
    for text in texts:
        try:
            yield text, parse_network(text)
        except ValueError as error:
            yield text, error


def _bantime(bantime_s: float) -> float:
    if not 1 <= bantime_s <= _MAX_BANTIME_S:
        raise ValueError(f"a ban lasts from 1 s to 10 years, not {bantime_s:g} s")
    return bantime_s


def _done(network: str, text: str) -> Answer:
    return {"network": network, "done": True, "text": text}


def _refusal(network: str, reason: object) -> Answer:
    return {"network": network, "done": False, "text": str(reason)}
