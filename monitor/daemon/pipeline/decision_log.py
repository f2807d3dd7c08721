"""Decisions in the daemon's log, never without bound: a listener.

The fields that go with them into the journal, logfmt and JSON are documented in docs/events.md.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.daemon.life.log_formats import FIELDS
from monitor.daemon.life.logs import Limiter
from monitor.daemon.pipeline.decision_bursts import LINES_PER_S, Burst, Bursts
from monitor.daemon.pipeline.decision_fields import (
    Fields,
    Member,
    Place,
    kind_of,
    kind_of_end,
    member_of,
    of_burst,
    of_flood,
    of_one,
)
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.alerts import UNKNOWN_PARTY, FloodAlert
from monitor.model.bans import Ban, ClaimOrigin, Mode
from monitor.model.clock import PassedSeconds
from monitor.model.ports import show

_log = logging.getLogger(__name__)
_LINES_PER_S = 20
_FLOODS_PER_S = 5
_MOST_SECONDS = 5
"""Lines of bursts are those of the seconds since the last tick, but of no more than so many."""
_REFUSALS = {
    Verdict.STALE: "the evidence is so old that the ban would be over already",
    Verdict.FULL: "there is no room (bans.max_bans), and no weaker ban that could yield",
}


_REFUSED = "the kernel refused the ban of"
_SILENT = (Verdict.COVERED, Verdict.CLAIM)
_ENDINGS = {
    Ending.EXPIRED: (logging.INFO, "ended"),
    Ending.WITHDRAWN: (logging.INFO, "is lifted, since what it rests on was no probe"),
    Ending.YIELDED: (logging.INFO, "yielded its place to a stronger claim"),
    Ending.REFUSED: (logging.ERROR, "is lost: the kernel refused it when the table was set up again"),
}


class DecisionLog(Listener):
    """Writes a line for each decision, at most twenty a second; lines of bursts name the rest."""

    name = "log"

    def __init__(self, place: Place = Place()) -> None:  # noqa: B008 - it cannot be changed
        """Start with a full second; `place` is the node, with its pods."""
        self._place = place
        self._limiter = Limiter(_LINES_PER_S)
        self._floods = Limiter(_FLOODS_PER_S)
        self._bursts = Bursts()
        self._passed = PassedSeconds(_MOST_SECONDS)

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Write down what was decided."""
        for decision in decisions:
            if decision.verdict in _SILENT:
                continue
            if self._limiter.allows():
                line = _line_of(decision)
                member = member_of(decision, line.reason)
                fields = of_one(kind_of(decision), member, self._place, decision.alert, decision.ban)
                _write(line.level, _text_of(decision, line), fields)
            elif self._bursts.has_room(is_bulk=_is_bulk(decision)):
                line = _line_of(decision)
                self._bursts.add(line.level, line.words, kind_of(decision), member_of(decision, line.reason))

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:  # noqa: ARG002 - the listener's
        """Write down a flood."""
        if self._floods.allows():
            _write(logging.WARNING, f"{alert.detector}: {alert}", of_flood(alert, self._place))

    def ended(self, ended: Sequence[Ended]) -> None:
        """Write down bans that reached their end, were taken back or were lost."""
        for one in ended:
            ban = one.ban
            if one.cause not in _ENDINGS or one.remaining is not None or one.is_displaced:
                continue
            level, text = _ENDINGS[one.cause]
            member = Member(ban.network, UNKNOWN_PARTY, b"", ban.reason)
            if self._limiter.allows():
                fields = of_one(kind_of_end(one), member, self._place, ban=ban)
                _write(level, f"{ban.title} of {ban.target} {text}", fields)
            elif self._bursts.has_room(is_bulk=ban.origin.is_bulk):
                self._bursts.add(level, f"{ban.title} {text}", kind_of_end(one), member)

    @property
    def is_waiting(self) -> bool:
        """Whether something has no line yet."""
        return self._bursts.is_waiting

    def tick(self, now_s: float) -> None:
        """Begin the next second, and name some of what had no line in earlier ones."""
        self._limiter.refill()
        for burst in self._bursts.take(LINES_PER_S * self._passed.take(now_s)):
            self._write_burst(burst)
        self._write_omitted()

    def close(self) -> None:
        """Name what still waits."""
        for burst in self._bursts.take_all():
            self._write_burst(burst)
        self._write_omitted()

    def _write_burst(self, burst: Burst) -> None:
        names = ", ".join(_target(member) for member in burst.members)
        text = f"{len(burst.members)} more: {burst.words}: {names}"
        _write(burst.level, text, of_burst(burst.kind, burst.members, self._place))

    def _write_omitted(self) -> None:
        if omitted := self._bursts.take_omitted():
            _log.warning("%d more decisions in the last second; `nodewarden list` has them all", omitted)
        if floods := self._floods.refill():
            _log.warning("%d more floods in the last second", floods)


class _Line(NamedTuple):
    """A decision in words, without its network, and why."""

    level: int
    words: str
    reason: str


def _line_of(decision: Decision) -> _Line:
    ban = decision.ban
    if decision.failure:
        return _Line(logging.ERROR, f"{_REFUSED} ({decision.detector})", decision.failure)
    if ban is not None:
        why = "bans.budget is spent; " if decision.verdict is Verdict.OVER_BUDGET else ""
        return _Line(logging.INFO, f"{_verb(ban)} ({_who(ban)})", f"{why}{ban.reason}")
    if decision.entry:
        reason = f"{decision.entry.network} is on the allowlist ({decision.entry.reason})"
    else:
        reason = _REFUSALS[decision.verdict]
    return _Line(logging.WARNING, f"not banning ({decision.detector}, {decision.verdict})", reason)


def _text_of(decision: Decision, line: _Line) -> str:
    """Return the whole line of a decision that has one to itself."""
    ban, network = decision.ban, decision.network
    if decision.failure:
        return f"{_REFUSED} {network}: {line.reason}"
    if ban is None:
        return f"not banning {network}: {line.reason}"
    text = f"{_verb(ban)} {ban.target} for {ban.until_s - ban.since_s:.0f} s ({_who(ban)})"
    return f"{text}: {line.reason}" if line.reason else text


def _who(ban: Ban) -> str:
    return f"peer {ban.detector}" if ban.origin is ClaimOrigin.PEER else ban.detector


def _verb(ban: Ban) -> str:
    return f"would {ban.title}" if ban.mode is Mode.OBSERVE else ban.title


def _is_bulk(decision: Decision) -> bool:
    claim = decision.claim or decision.wish
    return claim is not None and claim.origin.is_bulk


def _target(member: Member) -> str:
    ports = member.network.ports
    return f"{member.network} ({', '.join(show(ports))})" if ports else str(member.network)


def _write(level: int, text: str, fields: Fields) -> None:
    _log.log(level, "%s", text, extra={FIELDS: fields})
