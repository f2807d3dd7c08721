"""What this node has on the server, and when each of it ends. Pure."""

import math
from collections.abc import Iterator

from monitor.fleet.engine import Change, Kind

_LATEST_S = 400 * 86_400.0
"""No key lives longer than that without being renewed."""
_GRACE_S = 60.0
_EARLIEST_S = 3600.0
"""The stream tells of withdrawals, so it stays for a while when nothing is in force any more."""


class Published:
    """Fields of our two hashes, with the end of each by the engine's clock."""

    def __init__(self) -> None:
        """Nothing is published."""
        self.bans: dict[bytes, float] = {}
        self.pardons: dict[bytes, float] = {}
        self._latest_s = 0.0

    def clear(self) -> None:
        """Forget everything."""
        self.bans.clear()
        self.pardons.clear()
        self._latest_s = 0.0

    def take(self, change: Change) -> None:
        """Enter a change that is written."""
        if change.kind is Kind.UNBAN:
            self.bans.pop(change.field, None)
            return
        until_s = change.until_s if change.until_s > 0 else math.inf
        (self.bans if change.kind is Kind.BAN else self.pardons)[change.field] = until_s
        self._latest_s = max(self._latest_s, until_s)

    def expires_ms(self, now_s: float) -> int:
        """Return when the keys may go, in ms: after the latest end, so that a node that is gone leaves nothing."""
        return int((max(now_s + _EARLIEST_S, min(self._latest_s, now_s + _LATEST_S)) + _GRACE_S) * 1000)

    def ended(self, now_s: float) -> Iterator[Change]:
        """Yield what has ended by itself, as changes that take it out of the hashes."""
        for kind, fields in ((Kind.UNBAN, self.bans), (Kind.PARDON, self.pardons)):
            for field in [field for field, until_s in fields.items() if until_s + _GRACE_S < now_s]:
                yield Change(kind, field, b"", fields[field])

    def drop(self, change: Change) -> None:
        """Take out what `ended` yielded."""
        (self.pardons if change.kind is Kind.PARDON else self.bans).pop(change.field, None)
