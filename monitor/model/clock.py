"""Wall time for kernel log records, which carry only the time since boot; and steps of the wall clock."""


class ClockSteps:
    """Notices when the wall clock was set, or the machine slept; a clock that NTP slews is not set.

    CLOCK_MONOTONIC stands still in suspend, and so do the timeouts of nftables' elements.
    """

    LEAST_S = 1.0

    def __init__(self, monotonic_s: float, realtime_s: float) -> None:
        """Start from a pair of clocks read together, in seconds."""
        self._monotonic_s = monotonic_s
        self._realtime_s = realtime_s

    def look(self, monotonic_s: float, realtime_s: float) -> tuple[float, float]:
        """Return by how much the clock was set since the last look, 0 for not, and when that was, by the clock now."""
        passed_s = monotonic_s - self._monotonic_s
        step_s = realtime_s - self._realtime_s - passed_s
        self._monotonic_s, self._realtime_s = monotonic_s, realtime_s
        return (step_s if abs(step_s) >= self.LEAST_S else 0.0), realtime_s - passed_s


class BootClock:
    """Turns kernel log timestamps into wall time; knows about suspend, clock steps and the log clock's own drift.

    The kernel stamps records with `local_clock()`, which stands still in suspend like CLOCK_MONOTONIC but is not
    disciplined by NTP, so it drifts from it by seconds over weeks. Three observations mend that, all passed in:

    - the offset between CLOCK_REALTIME and CLOCK_MONOTONIC jumps when the machine wakes up or the clock is set; the
      offset before the last jump is kept for records that were written before it,
    - a record that woke the reader was written just now: the smallest such lag of the last two periods is the drift.
    """

    PERIOD_S = 600.0
    STEP_S = 0.1

    def __init__(self, monotonic_s: float, realtime_s: float) -> None:
        """Start from a pair of clocks read together, in seconds."""
        self._offset_s = realtime_s - monotonic_s
        self._offset_before_s = self._offset_s
        self._stepped_at_s = float("-inf")
        self._seen_s = monotonic_s
        self._drift_s: float | None = None
        self._drift_before_s: float | None = None
        self._period_start_s = monotonic_s

    def observe(self, monotonic_s: float, realtime_s: float) -> None:
        """Take note of both clocks, read together; to be called before each batch is decoded."""
        offset_s = realtime_s - monotonic_s
        if abs(offset_s - self._offset_s) > self.STEP_S:
            self._offset_before_s = self._offset_s
            self._stepped_at_s = self._seen_s
        self._offset_s = offset_s
        self._seen_s = monotonic_s
        if monotonic_s - self._period_start_s > self.PERIOD_S:
            self._period_start_s = monotonic_s
            self._drift_before_s, self._drift_s = self._drift_s, None

    def calibrate(self, timestamp_us: int) -> None:
        """Use a record known to be fresh (it woke the reader) to follow the drift of the log's clock."""
        lag_s = self._seen_s - timestamp_us / 1e6
        if self._drift_s is None or lag_s < self._drift_s:
            self._drift_s = lag_s

    @property
    def drift_s(self) -> float:
        """How far the log's clock is behind CLOCK_MONOTONIC, in seconds; 0 until a fresh record was seen."""
        known = [drift for drift in (self._drift_s, self._drift_before_s) if drift is not None]
        return min(known, default=0.0)

    def wall_s(self, timestamp_us: int) -> float:
        """Return seconds since the epoch for a record's timestamp (microseconds since boot), never in the future."""
        monotonic_s = min(timestamp_us / 1e6 + self.drift_s, self._seen_s)
        # `_stepped_at_s` is when the old offset was last seen to hold: the step came after it.
        offset_s = self._offset_before_s if monotonic_s <= self._stepped_at_s else self._offset_s
        return monotonic_s + offset_s

    def terms(self) -> tuple[float, float, float, float, float]:
        """Return what `wall_s` computes with, in seconds: drift, now, end of the old offset, old and new offset."""
        return self.drift_s, self._seen_s, self._stepped_at_s, self._offset_before_s, self._offset_s


class PassedSeconds:
    """Counts the seconds between ticks, for what is done a share a second: ticks of a quiet daemon are rarer."""

    def __init__(self, most: int) -> None:
        """Count at most so many at once."""
        self._most = most
        self._last_s = float("inf")

    def take(self, now_s: float) -> int:
        """Return how many passed since the last call, at least one; `now_s` is any clock, which may be set."""
        passed_s, self._last_s = now_s - self._last_s, now_s
        return round(min(max(1.0, passed_s), self._most))
