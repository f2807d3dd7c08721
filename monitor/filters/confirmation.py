"""Has the native extension confirm candidates: those that one combined expression decides.

The extension stops at the first line that it cannot decide. The caller examines that line with `LogFilter.examine` and
has the extension continue, so both work on the same connections and remembered dates.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monitor.filters.log_filter import LogFilter
from monitor.filters.scanner import Candidate
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.native import extension

if TYPE_CHECKING:
    from monitor import _native
    from monitor.filters.scan import ActiveFilter


class Confirmation:
    """The candidates of one filter in one block."""

    def __init__(self, made: "_native.Confirmation", log_filter: LogFilter, reason: str, block: LogBlock) -> None:
        """Use `confirmation_of`, which knows when there is none."""
        self._made = made
        self._filter = log_filter
        self._reason = reason
        self._now_s = block.read_s
        self._is_timed = bool(block.times_s) and not block.is_wrapped

    def run(self, index: int, until_s: float) -> tuple[int, bool]:
        """Confirm the candidates from this index on; return that of the first that is left, and whether time is up.

        `until_s` is on the monotonic clock, in seconds.
        """
        log_filter, now_s = self._filter, self._now_s
        forms = log_filter.forms(is_timed=self._is_timed)
        known = None if self._is_timed else log_filter.dates.remembered(now_s)
        if forms is None or (known is None and not self._is_timed):
            return index, False
        index, is_late, dated, is_zoned, *counts = self._made.run(forms.states, known, index, until_s)
        if dated:
            log_filter.dates.count(dated, now_s, is_zoned=is_zoned)
        if counts[0]:
            _add(log_filter, counts, self._reason)
        return index, is_late

    def warm(self, number: int) -> bool:
        """Count a line that the expression with this number is about to be tried on; return whether that took long."""
        forms = self._filter.forms(is_timed=self._is_timed)
        return forms is not None and forms.warm(number)


def confirmation_of(
    active: "ActiveFilter", reason: str, block: LogBlock, candidates: Sequence[Candidate], events: list[AuthFailure]
) -> Confirmation | None:
    """Return the extension's part in the work of one filter; None where there is none.

    `reason`: why the lines prove nothing; empty: they prove. `events` gets the failures.
    """
    log_filter = active.log_filter
    everything, proven = log_filter.connections, log_filter.proven_connections
    if extension is None or block.is_cut:
        return None
    if not isinstance(everything, extension.Connections) or not isinstance(proven, extension.Connections):
        return None
    made = extension.Confirmation(
        block.data,
        candidates,
        block.times_s,
        block.is_wrapped,
        AuthFailure,
        active.detector,
        Strength.SPOOFABLE if reason else Strength.PROVEN,
        block.log,
        reason,
        block.read_s,
        block.after_s,
        block.is_live,
        active.findtime_s,
        everything,
        proven,
        not reason,
        events,
    )
    return Confirmation(made, log_filter, reason, block)


def _add(log_filter: LogFilter, counts: Sequence[int], reason: str) -> None:
    stats = log_filter.stats
    candidates, failures, unproven, unusable, misdated, outdated, stale, stats.evicted = counts
    stats.candidates += candidates
    stats.failures += failures
    stats.unproven += unproven
    stats.unusable += unusable
    stats.misdated += misdated
    stats.outdated += outdated
    stats.stale += stale
    if unproven:
        log_filter.doubt = reason
