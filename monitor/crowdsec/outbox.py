"""What waits to be pushed to LAPI: new bans and withdrawn ones. Bounded; newer news of a ban replaces what waits. Pure.

Only what a detector of this node bans on proof is pushed: never what came from LAPI, from a list, from a peer or from a
person, so nothing goes round in circles. LAPI knows no ports, so bans of single ports stay here; so do prefixes, since
all bouncers of LAPI would enforce them.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.crowdsec.claims import own_scenarios
from monitor.crowdsec.durations import format_duration
from monitor.crowdsec.settings import ORIGIN
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode

MAX_WAITING = 10_000
_NEW = frozenset({Verdict.BAN, Verdict.REFRESH, Verdict.CLAIM})
_WITHDRAWN = frozenset({Ending.LIFTED, Ending.ALLOWLISTED, Ending.WITHDRAWN})
_MAX_MESSAGE = 200
_SHORTEST_S = 1.0
_MOST_TRIES = 8
"""A withdrawal, which has no end, is tried so often where LAPI answers with an error of its own."""


class News(msgspec.Struct, frozen=True, gc=False):
    """A ban that LAPI is to know, or that it is to forget (`until_s` is 0)."""

    value: str
    scenario: str
    until_s: float = 0.0
    """Wall time."""
    since_s: float = 0.0
    message: str = ""
    count: int = 1
    tries: int = 0
    """How often LAPI refused it as a single withdrawal."""


class Outbox:
    """News by network and scenario, oldest first."""

    def __init__(self, machine: str) -> None:
        """`machine` is this node's name at LAPI."""
        self._scenarios = own_scenarios(machine)
        self._waiting: OrderedDict[tuple[str, str], News] = OrderedDict()
        self.dropped_total = 0
        """News that were dropped because too many waited."""

    def __len__(self) -> int:
        """Return how many news wait."""
        return len(self._waiting)

    def settled(self, decisions: Sequence[Decision]) -> None:
        """Take what was decided."""
        for decision in decisions:
            claim = decision.claim
            if claim is None or decision.verdict not in _NEW or not is_pushed(claim):
                continue
            count = decision.alert.evidence.count if decision.alert else 1
            message = f"{claim.detector}: {claim.reason}"[:_MAX_MESSAGE]
            scenario = self._scenarios + claim.detector
            self._add(News(str(claim.network), scenario, claim.until_s, claim.since_s, message, count))

    def ended(self, ended: Iterable[Ended]) -> None:
        """Take what is over; what is over by its time is so at LAPI, too."""
        for one in ended:
            if one.cause in _WITHDRAWN:
                for claim in filter(is_pushed, one.claims):
                    self._add(News(str(claim.network), self._scenarios + claim.detector))

    def take(self, limit: int) -> list[News]:
        """Return the oldest news, all of one kind: either bans, or withdrawn ones."""
        taken: list[News] = []
        while self._waiting and len(taken) < limit:
            first = next(iter(self._waiting.values()))
            if taken and bool(taken[0].until_s) is not bool(first.until_s):
                break
            taken.append(self._waiting.popitem(last=False)[1])
        return taken

    def put_back(self, news: Sequence[News]) -> None:
        """Take news back that could not be pushed; newer ones about the same win."""
        for one in reversed(news):
            place = one.value, one.scenario
            if place not in self._waiting:
                self._waiting[place] = one
                self._waiting.move_to_end(place, last=False)
        self._shorten()

    def put_last(self, news: Sequence[News]) -> None:
        """Take news back that LAPI does not like, or could not store: others go first.

        A withdrawal that was tried alone often enough is dropped.
        """
        if len(news) == 1 and not news[0].until_s:
            news = [msgspec.structs.replace(news[0], tries=news[0].tries + 1)]
            if news[0].tries >= _MOST_TRIES:
                self.dropped_total += 1
                return
        for one in news:
            self._waiting.setdefault((one.value, one.scenario), one)
        self._shorten()

    def _add(self, news: News) -> None:
        place = news.value, news.scenario
        self._waiting.pop(place, None)
        self._waiting[place] = news
        self._shorten()

    def _shorten(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
            self.dropped_total += 1


def is_pushed(claim: Ban) -> bool:
    """Whether LAPI gets a claim."""
    network = claim.network
    return (
        claim.origin is ClaimOrigin.DETECTOR
        and claim.strength is Strength.PROVEN
        and claim.mode is Mode.ENFORCE
        and not network.ports
        and network.prefix_length >= (32 if network.bits == 32 else 64)
    )


def alert_of(news: News, now_s: float) -> dict[str, Any] | None:
    """Return the alert for LAPI, with its decision; None if it would be over. The fields are those that it requires."""
    left_s = news.until_s - now_s
    if left_s < _SHORTEST_S:
        return None
    scope = "Range" if "/" in news.value else "Ip"
    since, now = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)) for at_s in (news.since_s, now_s))
    return {
        "scenario": news.scenario,
        "scenario_hash": "",
        "scenario_version": "",
        "message": news.message,
        "events_count": news.count,
        "events": [],
        "start_at": since,
        "stop_at": now,
        "capacity": 0,
        "leakspeed": "0s",
        "simulated": False,
        "source": {"scope": scope, "value": news.value},
        "decisions": [
            {
                "origin": ORIGIN,
                "type": "ban",
                "scope": scope,
                "value": news.value,
                "duration": format_duration(left_s),
                "scenario": news.scenario,
            }
        ],
    }
