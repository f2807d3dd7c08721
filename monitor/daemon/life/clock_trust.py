"""Whether the wall clock is to be believed: after a boot it may be years off until NTP sets it.

Ends of bans are wall time. A clock that is ten years ahead would end them all for good, one that is behind would have
them last for years. So the time is saved each minute, and a start whose clock is far from it waits for a proof: the
kernel says that the clock is synchronised, or it is set to a plausible time. Until then what was saved counts from when
it was saved, and nothing is deleted for its age. A clock that nobody corrects within an hour is believed.
"""

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

from monitor.model.cursors import Cursor, CursorStore

_NAME = "clock"
_SAVE_EVERY_S = 60.0
_SLACK_S = 120.0
"""How far behind the time that was saved last a clock may be: that was saved each minute."""
_OFF_S = 7 * 86400.0
"""How long a machine is off at most for its clock to be plausible without a proof."""
_PATIENCE_S = 3600.0
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_TIME_ERROR = 5  # linux/timex.h: "clock not synchronized"
_TIMEX_BYTES = 512  # more than struct timex has; all zero: read only


def is_synchronised() -> bool:
    """Whether adjtimex(2) or systemd-timesyncd says that the clock is; the sandbox of the unit forbids the former."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if 0 <= state < _TIME_ERROR:
        return True
    with contextlib.suppress(OSError):
        return _TIMESYNCD.exists()
    return False


class ClockTrust:
    """Decides at the start, and each second until the clock is believed."""

    def __init__(self, store: CursorStore, is_proven: Callable[[], bool] = is_synchronised) -> None:
        """Believe the clock until `open` has read when the last run was."""
        self._store = store
        self._is_proven = is_proven
        self._last_s = 0.0
        self._opened_s = 0.0
        self._save_at_s = float("-inf")
        self._is_open = False
        self.is_believed = True
        self.ahead_s = 0.0
        """By how much the clock is ahead of the one that saved times are by; 0 while it is believed."""

    def open(self, monotonic_s: float, now_s: float) -> None:
        """Read when the last run was, and judge the clock; to be called once the store can be read."""
        self._is_open = True
        self._opened_s = monotonic_s
        cursor = self._store.load_cursors().get(_NAME)
        if cursor is None or not isinstance(cursor.position, int):
            return
        self._last_s = float(cursor.position)
        self.is_believed = self._is_plausible(now_s) or self._is_proven()
        self.ahead_s = 0.0 if self.is_believed else now_s - self._last_s

    def stepped(self, step_s: float) -> None:
        """Take note that the clock was set."""
        if not self.is_believed:
            self.ahead_s += step_s

    def tick(self, monotonic_s: float, now_s: float) -> bool:
        """Save the time, or judge the clock again; whether it is believed from now on. To be called each second."""
        if not self.is_believed:
            is_late = monotonic_s - self._opened_s >= _PATIENCE_S
            self.is_believed = is_late or self._is_plausible(now_s) or self._is_proven()
            return self.is_believed
        if self._is_open and not 0 <= self._save_at_s - now_s <= _SAVE_EVERY_S:
            self.save(now_s)
        return False

    def save(self, now_s: float) -> None:
        """Save the time if it is believed."""
        if self._is_open and self.is_believed:
            self._save_at_s = now_s + _SAVE_EVERY_S
            self._store.save_cursor(_NAME, Cursor("", int(now_s)))

    def problems(self) -> list[str]:
        """Say that the clock is not believed."""
        if self.is_believed:
            return []
        days = abs(self.ahead_s) / 86400.0
        where = "ahead of" if self.ahead_s > 0 else "behind"
        text = f"the clock is {days:.0f} days {where} the time that was saved last"
        return [f"{text}: bans keep the time that they had left, until NTP sets the clock or an hour is over"]

    def _is_plausible(self, now_s: float) -> bool:
        return self._last_s - _SLACK_S <= now_s <= self._last_s + _OFF_S
