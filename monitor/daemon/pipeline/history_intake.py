"""What the history takes in: every outcome is counted by hour and detector, and most get a row of their own.

Attackers choose how many alerts there are: a flood of forged sources raises thousands a second. So each detector has a
share of rows an hour for all that is no ban of a detector or an operator, which the budget and people bound; beyond it
alerts are only counted. A source that is spared again and again, such as an allowlisted scanner, counts once for each
time that it would have been banned.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from monitor.bans.decision import Decision
from monitor.model.addresses import Network
from monitor.model.bans import ClaimOrigin, Mode, Offence, Standing
from monitor.state.changes import TallyKey

DEFAULT_ROWS = 100_000
_SHARE = 50
"""One detector adds at most this part of the rows in an hour."""
_LEAST = 100
_MAX_SPARED = 4096
_HOUR_S = 3600.0
_DAY_S = 86400.0
_REPORTED_S = 3600.0


class Taken(NamedTuple):
    """What the history takes: a count, and a row unless there were too many."""

    key: TallyKey
    offence: Offence | None


class HistoryIntake:
    """Decides what of the decisions the history gets; bounded."""

    def __init__(
        self,
        standing: Callable[[Offence, Decision], Standing | None] = lambda *_: None,
        max_rows: int = DEFAULT_ROWS,
    ) -> None:
        """`standing` says what makes the source of an offence no stranger; `max_rows` is what the store keeps."""
        self._standing = standing
        self.max_rows = max_rows
        self.only_counted_total = 0
        """Outcomes without a row of their own."""
        self._only_counted_s = float("-inf")
        self._hour = -1
        self._rows: Counter[str] = Counter()
        self._spared: OrderedDict[tuple[Network, str], float] = OrderedDict()

    def take(self, decision: Decision, offence: Offence, now_s: float) -> Taken | None:
        """Return what the history takes of an offence; None if that is one that it has already."""
        if offence.spared and self._is_known(offence, now_s):
            return None
        is_plausible = abs(now_s - offence.time_s) < _DAY_S  # a log's dates must not make hours without end
        hour = int((offence.time_s if is_plausible else now_s) // _HOUR_S)
        key = TallyKey(max(0, hour), offence.detector, offence.strength, offence.outcome)
        if not self._has_room(decision, offence, now_s):
            self.only_counted_total += 1
            self._only_counted_s = now_s
            return Taken(key, None)
        return Taken(key, msgspec.structs.replace(offence, standing=self._standing(offence, decision)))

    def notices(self) -> list[str]:
        """Report that outcomes are only counted."""
        if not 0 <= time.time() - self._only_counted_s < _REPORTED_S:
            return []
        text = (
            f"the history only counts part of what happens ({self.only_counted_total} alerts since the start): a "
            f"detector adds at most {self._share} entries an hour that are no bans; raise state.history_rows to keep "
            "more"
        )
        return [text]

    @property
    def _share(self) -> int:
        return max(_LEAST, self.max_rows // _SHARE)

    def _has_room(self, decision: Decision, offence: Offence, now_s: float) -> bool:
        origin = decision.claim.origin if decision.claim else ClaimOrigin.DETECTOR
        if offence.mode is Mode.ENFORCE and not offence.spared and not origin.is_bulk:
            return True
        hour = int(now_s // _HOUR_S)
        if hour != self._hour:
            self._hour = hour
            self._rows.clear()
        if self._rows[offence.detector] >= self._share:
            return False
        self._rows[offence.detector] += 1
        return True

    def _is_known(self, offence: Offence, now_s: float) -> bool:
        """Whether the same source was spared within the ban time; notes it otherwise."""
        key = offence.network, offence.detector
        until_s = self._spared.get(key, float("-inf"))
        if until_s - offence.bantime_s <= now_s < until_s:
            return True
        self._spared[key] = now_s + offence.bantime_s
        self._spared.move_to_end(key)
        if len(self._spared) > _MAX_SPARED:
            self._spared.popitem(last=False)
        return False
