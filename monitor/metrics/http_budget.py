"""The share of time that a server may spend on making answers. Pure: times are given."""

_LONGEST_PAUSE_S = 0.5


class TimeBudget:
    """A credit of time that fills up slowly; times are monotonic, in seconds."""

    def __init__(self, share: float, burst_s: float, now_s: float) -> None:
        """`share` of all time in the long run, `burst_s` at once."""
        self._share = share
        self._burst_s = self._credit_s = burst_s
        self._credited_at_s = now_s

    def pay(self, started_s: float, now_s: float) -> float:
        """Take the time from `started_s` to now from the credit; return when there may be answers again."""
        earned_s = self._credit_s + (now_s - self._credited_at_s) * self._share
        self._credit_s = min(earned_s, self._burst_s) - (now_s - started_s)
        self._credited_at_s = now_s
        return now_s + min(max(0.0, -self._credit_s / self._share), _LONGEST_PAUSE_S)
