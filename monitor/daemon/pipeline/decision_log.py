"""Decisions in the daemon's log, never without bound."""

import logging
from collections.abc import Iterable

from monitor.bans.policy import Decision, Verdict
from monitor.daemon.life.logs import Limiter
from monitor.model.alerts import FloodAlert
from monitor.model.bans import Ban, Mode

_log = logging.getLogger(__name__)
_LINES_PER_S = 20
_REFUSALS = {
    Verdict.STALE: "the evidence is so old that the ban would be over already",
    Verdict.FULL: "there are bans.max_bans bans already",
}


class DecisionLog:
    """Writes a line for each decision, at most twenty a second; the rest are counted."""

    def __init__(self) -> None:
        """Start with a full second."""
        self._limiter = Limiter(_LINES_PER_S)

    def decided(self, decisions: Iterable[Decision]) -> None:
        """Write down what was decided."""
        for decision in decisions:
            if decision.verdict is not Verdict.COVERED and self._limiter.allows():
                _write(decision)

    def flooded(self, alert: FloodAlert) -> None:
        """Write down a flood."""
        if self._limiter.allows():
            _log.warning("%s: %s", alert.detector, alert)

    def ended(self, bans: Iterable[Ban]) -> None:
        """Write down which bans ended by themselves."""
        for ban in bans:
            if self._limiter.allows():
                _log.info("%s of %s ended", ban.title, ban.network, extra=_fields(ban))

    def tick(self) -> None:
        """Begin the next second."""
        if suppressed := self._limiter.refill():
            _log.warning("%d more decisions in the last second; `nodewarden list` has them all", suppressed)


def _write(decision: Decision) -> None:
    ban = decision.ban
    if decision.entry:
        entry = decision.entry
        _log.warning("not banning %s: %s is on the allowlist (%s)", decision.network, entry.network, entry.reason)
    elif ban is None:
        _log.warning("not banning %s: %s", decision.network, _REFUSALS[decision.verdict])
    else:
        verb = f"would {ban.title}" if ban.mode is Mode.OBSERVE else ban.title
        why = "bans.budget is spent; " if decision.verdict is Verdict.OVER_BUDGET else ""
        _log.info(
            "%s %s for %.0f s (%s): %s%s",
            verb,
            ban.network,
            ban.until_s - ban.since_s,
            ban.detector,
            why,
            ban.reason,
            extra=_fields(ban),
        )


def _fields(ban: Ban) -> dict[str, str]:
    """Return a ban as journal fields."""
    return {
        "NODEWARDEN_NETWORK": str(ban.network),
        "NODEWARDEN_DETECTOR": ban.detector,
        "NODEWARDEN_STRENGTH": ban.strength.value,
        "NODEWARDEN_MODE": ban.mode.value,
    }
