"""Listeners: they receive what was decided and is in force. None of them can delay or break a ban.

A listener is one file with a class derived from `Listener`, and a line where the service composes the list. All methods
are called on the loop's thread, after the enforcers have answered; each must return at once: what takes longer belongs
into a queue of the listener's own. What a listener raises is counted, told once, and costs this call only.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from monitor.bans.decision import Decision, Ended
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.bans import Ban, Mode

_log = logging.getLogger(__name__)


class Listener:
    """Does nothing with all that can be told: override what matters."""

    name = "listener"
    """In metrics and the log."""

    def alerted(self, alert: Alert, mode: Mode) -> None:
        """Take an alert; `mode` is how its detector's alerts are answered. Comes before what was decided on it."""

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:
        """Take a flood whose sources are forged: nobody is banned for it."""

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Take the final decisions of one batch; those in force were so at `done_s` (wall time, seconds)."""

    def ended(self, ended: Sequence[Ended]) -> None:
        """Take bans, or claims of bans, that are over."""

    def flushed(self) -> None:
        """Take that all bans were ended by an order, also those that nobody could read yet. Comes after `ended`."""

    def moved(self, claims: Sequence[Ban]) -> None:
        """Take claims that have other times now, because the clock was set."""

    def drifted(self, changes: Counter[tuple[str, str]]) -> None:
        """Take how often other programs changed the table, by kind of change and program."""

    def troubled(self, appeared: Sequence[str], passed: Sequence[str]) -> None:
        """Take the problems in `status` that appeared, and those that are over."""

    def tried(self, name: str, what: str, text: str) -> None:
        """Take that a trial configuration is in force (`what` is `started`) or how it ended; `text` is for people."""

    def tick(self, now_s: float) -> None:
        """Do what is due each second."""


class Listeners(Listener):
    """Calls all listeners; one that fails affects no other."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """Take them in the order in which they are told."""
        self._listeners = tuple(listeners)
        self._ticking = tuple(one for one in listeners if type(one).tick is not Listener.tick)
        self.errors: Counter[str] = Counter({one.name: 0 for one in listeners})
        """Calls that failed, by listener."""

    def alerted(self, alert: Alert, mode: Mode) -> None:
        """Tell all."""
        self._tell(lambda one: one.alerted(alert, mode))

    def flooded(self, alert: FloodAlert, mode: Mode) -> None:
        """Tell all."""
        self._tell(lambda one: one.flooded(alert, mode))

    def settled(self, decisions: Sequence[Decision], done_s: float) -> None:
        """Tell all, if there is anything."""
        if decisions:
            self._tell(lambda one: one.settled(decisions, done_s))

    def ended(self, ended: Sequence[Ended]) -> None:
        """Tell all, if there is anything."""
        if ended:
            self._tell(lambda one: one.ended(ended))

    def flushed(self) -> None:
        """Tell all."""
        self._tell(lambda one: one.flushed())

    def moved(self, claims: Sequence[Ban]) -> None:
        """Tell all."""
        self._tell(lambda one: one.moved(claims))

    def drifted(self, changes: Counter[tuple[str, str]]) -> None:
        """Tell all."""
        self._tell(lambda one: one.drifted(changes))

    def troubled(self, appeared: Sequence[str], passed: Sequence[str]) -> None:
        """Tell all, if there is anything."""
        if appeared or passed:
            self._tell(lambda one: one.troubled(appeared, passed))

    def tried(self, name: str, what: str, text: str) -> None:
        """Tell all."""
        self._tell(lambda one: one.tried(name, what, text))

    def tick(self, now_s: float) -> None:
        """Tell all."""
        self._tell(lambda one: one.tick(now_s), self._ticking)

    def _tell(self, call: Callable[[Listener], None], listeners: Sequence[Listener] | None = None) -> None:
        for one in self._listeners if listeners is None else listeners:
            try:
                call(one)
            except Exception:  # noqa: BLE001 - a listener must never cost a ban
                if not self.errors[one.name]:
                    _log.exception("the listener %s failed; bans are not affected; please report this", one.name)
                self.errors[one.name] += 1
