"""What is reported about the table: changes by other programs, and what keeps it from being as it should be."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from monitor.enforcers.nftables.drift import DriftKind
from monitor.enforcers.protocol import Failure, FailureCause
from monitor.model.addresses import Network
from monitor.model.alerts import Strength

_log = logging.getLogger(__name__)

FAULTS = ("set_up", "bans", "allowlist", "refusals", "comparison", "notifications")
"""The parts of a table that may be at fault: a closed set, usable as a metric label."""


class TableFaults:
    """Counts, logs and keeps what is wrong or was."""

    def __init__(self) -> None:
        """Start without any."""
        self.drifts: Counter[str] = Counter({kind.value: 0 for kind in DriftKind})
        """Changes to the table by other programs, by kind."""
        self.faults: dict[str, str] = {}
        """What keeps the table from being as it should be, or from noticing that it is not, by part (`FAULTS`)."""
        self.on_drift: Callable[[Counter[tuple[str, str]]], None] = lambda _: None
        """Called with the changes by other programs that are being reverted: their number, by kind and program."""

    def drifted(self, changes: Counter[tuple[str, str]], what: str = "") -> None:
        """Count, log and report changes by other programs, by kind and program; `what` says what was found changed."""
        for (kind, author), count in changes.items():
            self.drifts[kind] += count
            times = f" ({count} times)" if count > 1 else ""
            _log.warning("%s changed the table inet nodewarden: %s%s%s", author, kind, times, what and f": {what}")
        if changes:
            self.on_drift(changes)

    def note_unanswered(self, why: str) -> None:
        """Note why packets are dropped that should be refused; empty if they are."""
        self.note_fault("refusals", f"drops although `bans.action` is `reject`: {why}" if why else "")

    def note_fault(self, part: str, text: str) -> None:
        """Note what is wrong with a part; it is logged when it changes, not each second. Without a text it is well."""
        if not text:
            self.faults.pop(part, None)
            return
        if self.faults.get(part) != text:
            _log.error("the table inet nodewarden %s", text)
        self.faults[part] = text


def of_unknown_outcome(failures: Sequence[Failure]) -> set[tuple[Network, Strength]]:
    """Return the bans for which it is unknown whether the kernel added them."""
    return {(one.network, one.strength) for one in failures if one.cause is FailureCause.NO_MEMORY}
