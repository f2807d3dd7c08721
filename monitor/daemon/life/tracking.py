"""Has the kernel track connections while nodewarden only observes: observing must see what enforcing would see.

The kernel tracks connections only while a rule asks for their state. On a machine without a firewall that is our own
table, so it is set up without bans as well: its sets are empty and it drops nothing.

Tracking has a price: when the kernel's table of connections is full, new connections are dropped. An operator who
only observes has not agreed to that, so the table is removed before it comes to this.
"""

import logging
import time
from collections.abc import Callable

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.alerts import Strength
from monitor.model.bans import Mode
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.requirements import Part, PartKind, Requirement

_log = logging.getLogger(__name__)
_FULL, _EMPTY_ENOUGH = 0.9, 0.5
_REST_S = 600.0
_REPAIR = (
    "sysctl -w net.netfilter.nf_conntrack_max=262144, and in /etc/sysctl.d; or switch sources.conntrack.enabled off"
)


class Tracking:
    """Sets the table up for the sake of tracking, and removes it again at the end."""

    def __init__(
        self,
        pipeline: Pipeline,
        is_read: Callable[[], bool],
        share: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_read`: whether connections are a source; `share`: how full the kernel's table of them is, from 0 to 1.

        `clock` is monotonic, in seconds.
        """
        self._pipeline = pipeline
        self._is_read = is_read
        self._share = share
        self._clock = clock
        self._rests_until_s: float | None = None
        self._has_run = False

    @property
    def is_resting(self) -> bool:
        """Whether the table was removed because the kernel's table of connections was almost full."""
        return self._rests_until_s is not None

    def tick(self, now_s: float) -> None:
        """See to the table; call it each second, once the bans of an earlier run are known."""
        self._has_run = True
        share = self._share()
        if self.is_resting or share >= _FULL:
            self._rest(share)
        table = self._pipeline.table
        if not table.is_wanted and self._is_read() and not self.is_resting:
            table.is_wanted = True
            table.repair(now_s)

    def problems(self) -> list[str]:
        """Say what keeps connections from being tracked."""
        if not self.is_resting:
            return []
        text = (
            "nodewarden no longer has connections tracked, since the kernel's table of them was almost full and "
            "observing must not cost connections: without a firewall that tracks or logs, scans are not seen; raise "
            "net.netfilter.nf_conntrack_max"
        )
        return [text]

    def part(self) -> Part:
        """Return the part of the self-check."""
        missing = "it was almost full, so tracking is paused while nodewarden only observes" if self.is_resting else ""
        room = Requirement("room in the kernel's table of connections", missing, _REPAIR)
        return Part("tracking", PartKind.SOURCE, self._is_read(), [room])

    def close(self) -> None:
        """Remove the table if it is there for the sake of tracking only; a failure is logged."""
        if not (self._has_run and self._pipeline.table.is_up and self._is_for_tracking()):
            return
        try:
            self._pipeline.table.flush()
        except SYSTEM_FAULTS as error:
            _log.warning("the table inet nodewarden, which has no bans, was not removed: %s", explain(error))
        else:
            _log.info("the table inet nodewarden, which had no bans, is removed: nodewarden only observed")

    def _rest(self, share: float) -> None:
        """Remove the table when connections are about to be dropped because of it, and end that when there is room."""
        table, is_for_tracking = self._pipeline.table, self._is_for_tracking()
        if self._rests_until_s is not None:
            is_over = self._clock() >= self._rests_until_s and share < _EMPTY_ENOUGH
            if is_over or not is_for_tracking:
                self._rests_until_s = None
        elif is_for_tracking and table.is_up and share >= _FULL:
            table.flush()
            self._rests_until_s = self._clock() + _REST_S
            _log.error("%s", self.problems()[0])

    def _is_for_tracking(self) -> bool:
        """Whether no ban is in force or will be: what others added to the sets counts as well."""
        pipeline = self._pipeline
        bans = sum(pipeline.ledger.count(Mode.ENFORCE, strength) for strength in Strength)
        return not (pipeline.enforces or bans or any(pipeline.table.foreign.counts().values()))
