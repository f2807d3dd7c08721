"""Alerts whose bans the kernel refused: proposed again, since a passing fault must not let an offender off.

A source that has reached its threshold may stay silent for a long time, so waiting for its next alert would forgive it.
What an attacker can let grow here is bounded: proven evidence takes the room of spoofable evidence.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from monitor.bans.decision import Decision, Verdict
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, Strength

LIMIT = 4_096
"""How many refused alerts are kept."""
LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S = 1.0
_AT_ONCE = 256


class _Waiting(NamedTuple):
    alert: Alert
    wait_s: float
    due_s: float


class RefusedAlerts:
    """A bounded table of alerts by detector and network; an alert stays until its ban is settled otherwise."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Keep at most `limit` alerts; `omitted_total` counts those for which there was no room."""
        self.omitted_total = 0
        self._limit = limit
        self._waiting: dict[tuple[str, Network], _Waiting] = {}

    def __len__(self) -> int:
        """Return how many alerts wait."""
        return len(self._waiting)

    @property
    def problem(self) -> str:
        """Say that there is no room for more; empty while there is."""
        if len(self._waiting) < self._limit:
            return ""
        return (
            f"{len(self._waiting)} bans that the kernel refused wait to be tried again, which is all that can be kept: "
            f"{self.omitted_total} were given up; see the log for the reason"
        )

    @property
    def notice(self) -> str:
        """Say what was given up before there was room again; empty if nothing was, or while `problem` says so."""
        if self.problem or not self.omitted_total:
            return ""
        return f"{self.omitted_total} bans that the kernel refused were given up since the start: too many at once"

    def note(self, decisions: Iterable[Decision], now_s: float) -> None:
        """Keep the alerts that were refused, with twice the wait of the time before; forget what was settled."""
        for decision in decisions:
            alert = decision.alert
            if alert is None or decision.detector != alert.detector:  # follow-ups follow from the ban itself
                continue
            key = alert.detector, alert.network
            before = self._waiting.pop(key, None)
            if decision.verdict is Verdict.REFUSED:
                wait_s = _FIRST_WAIT_S if before is None else min(before.wait_s * 2, LONGEST_WAIT_S)
                if self._make_room(alert.strength):
                    self._waiting[key] = _Waiting(alert, wait_s, now_s + wait_s)

    def forget(self, detector: str, network: Network) -> None:
        """Forget an alert whose evidence proved to be none."""
        self._waiting.pop((detector, network), None)

    def forgive(self, networks: Collection[Network]) -> set[Network]:
        """Forget all alerts about these networks, or about sources that these are; return which had any."""
        forgiven = set()
        for key, one in list(self._waiting.items()):
            if found := {one.alert.network, host(one.alert.source)}.intersection(networks):
                forgiven |= found
                del self._waiting[key]
        return forgiven

    def clear(self) -> None:
        """Forget all alerts."""
        self._waiting.clear()

    def due(self, now_s: float, detectors: Iterable[str]) -> list[Alert]:
        """Return alerts to propose now, a bounded number; those of removed detectors are forgotten."""
        if not self._waiting:
            return []
        known = set(detectors)
        self._waiting = {key: one for key, one in self._waiting.items() if key[0] in known}
        # a wait longer than any that was set means that the clock was set back
        due = (one.alert for one in self._waiting.values() if not 0 < one.due_s - now_s <= LONGEST_WAIT_S)
        return list(islice(due, _AT_ONCE))

    def _make_room(self, strength: Strength) -> bool:
        """Return whether one more alert of this strength fits; the oldest spoofable one yields to a proven one."""
        if len(self._waiting) < self._limit:
            return True
        self.omitted_total += 1
        if strength is not Strength.PROVEN:
            return False
        weaker = (key for key, one in self._waiting.items() if one.alert.strength is not Strength.PROVEN)
        self._waiting.pop(next(weaker, None) or next(iter(self._waiting)))
        return True
