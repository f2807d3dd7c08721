"""Decisions in the daemon's log, never without bound: a listener.

The fields that go to the journal with them are documented in docs/events.md.
"""

import logging
from collections.abc import Sequence

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.daemon.life.logs import Limiter
from monitor.daemon.pipeline.listeners import Listener
from monitor.model.alerts import FloodAlert
from monitor.model.bans import Ban, Mode
from monitor.model.ports import show

_log = logging.getLogger(__name__)
_LINES_PER_S = 20
_REFUSALS = {
    Verdict.STALE: "the evidence is so old that the ban would be over already",
    Verdict.FULL: "there is no room (bans.max_bans), and no weaker ban that could yield",
}


_SILENT = (Verdict.COVERED, Verdict.CLAIM)
_ENDINGS = {
    Ending.EXPIRED: (logging.INFO, "ended"),
    Ending.YIELDED: (logging.INFO, "yielded its place to a stronger claim"),
    Ending.REFUSED: (logging.ERROR, "is lost: the kernel refused it when the table was set up again"),
}


class DecisionLog(Listener):
    """Writes a line for each decision, at most twenty a second; the rest are counted."""

    name = "log"

    def __init__(self) -> None:
        """Start with a full second."""
        self._limiter = Limiter(_LINES_PER_S)

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:  # noqa: ARG002 - the listener's
        """Write down what was decided."""
        for decision in decisions:
            if decision.verdict not in _SILENT and self._limiter.allows():
                _write(decision)

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:  # noqa: ARG002 - the listener's
        """Write down a flood."""
        if self._limiter.allows():
            _log.warning("%s: %s", alert.detector, alert)

    def ended(self, ended: Sequence[Ended]) -> None:
        """Write down bans that reached their end, and those that were lost."""
        for one in ended:
            is_shown = one.cause in _ENDINGS and one.remaining is None and not one.is_displaced
            if is_shown and self._limiter.allows():
                level, text = _ENDINGS[one.cause]
                _log.log(level, "%s of %s %s", one.ban.title, one.ban.target, text, extra=_fields(one.ban, "end"))

    def tick(self, now_s: float) -> None:  # noqa: ARG002 - the listener's
        """Begin the next second."""
        if suppressed := self._limiter.refill():
            _log.warning("%d more decisions in the last second; `nodewarden list` has them all", suppressed)


def _write(decision: Decision) -> None:
    ban = decision.ban
    if decision.failure:
        _log.error("the kernel refused the ban of %s: %s", decision.network, decision.failure)
    elif decision.entry:
        entry = decision.entry
        _log.warning("not banning %s: %s is on the allowlist (%s)", decision.network, entry.network, entry.reason)
    elif ban is None:
        _log.warning("not banning %s: %s", decision.network, _REFUSALS[decision.verdict])
    else:
        verb = f"would {ban.title}" if ban.mode is Mode.OBSERVE else ban.title
        why = "bans.budget is spent; " if decision.verdict is Verdict.OVER_BUDGET else ""
        _log.info(
            "%s %s for %.0f s (%s)%s%s%s",
            verb,
            ban.target,
            ban.until_s - ban.since_s,
            ban.detector,
            ": " if why or ban.reason else "",
            why,
            ban.reason,
            extra=_fields(ban, decision.verdict),
        )


def _fields(ban: Ban, what: str) -> dict[str, str]:
    """Return a ban as journal fields."""
    return {
        "NODEWARDEN_EVENT": what,
        "NODEWARDEN_NETWORK": str(ban.network),
        "NODEWARDEN_PORTS": " ".join(show(ban.network.ports)),
        "NODEWARDEN_DETECTOR": ban.detector,
        "NODEWARDEN_STRENGTH": ban.strength.value,
        "NODEWARDEN_MODE": ban.mode.value,
        "NODEWARDEN_ORIGIN": ban.origin.value,
        "NODEWARDEN_UNTIL": f"{ban.until_s:.3f}",
    }
