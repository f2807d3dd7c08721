"""What of a fleet outlives a restart, and this node's name in it: known whether or not there is a fleet."""

import re
from collections.abc import Callable, Iterable, Sequence

from monitor.model.bans import OTHER_PEERS
from monitor.model.saved_rows import SavedRow, SavedWindow
from monitor.settings.schema import Settings

KEPT = ("peers", "pardons", "allowlist")
"""What outlives a restart, by attribute of the fleet."""
_MOST_ROWS = 4096
_NO_NAME = re.compile(r"[^a-z0-9._-]+")


def node_name(settings: Settings, host_name: str) -> str:
    """Return this node's name in the fleet: as configured, or the host's in the characters that a name may have."""
    name = settings.fleet.node or _NO_NAME.sub("-", host_name.lower())[:63].strip("._-") or "node"
    return f"{name}-node" if name in OTHER_PEERS else name


class Kept:
    """A part of the fleet that outlives a restart (`SavedWindow`); its rows wait here until there is a fleet."""

    def __init__(self, part: Callable[[], SavedWindow | None]) -> None:
        """`part` returns it; None: there is no fleet."""
        self._part = part
        self.rows: list[SavedRow] = []

    def export(self, limit: int) -> Sequence[SavedRow]:
        """Return the rows of the fleet, or those that wait for one."""
        part = self._part()
        return self.rows[:limit] if part is None else part.export(limit)

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:  # noqa: ARG002 - see `SavedWindow`
        """Have these wait."""
        self.rows = list(rows)

    def hold(self) -> None:
        """Keep what is known beyond the end of this fleet."""
        self.rows = list(self.export(_MOST_ROWS))
