"""How often the daemon does what time alone calls for: each second, or hardly ever while nothing happens.

A tick that finds nothing costs more than a millisecond of a processor, most of it because its code and data have left
the caches since the last one. So a daemon without news rests. It then looks around for who asks how the node is,
before the answer, and otherwise now and then. Pure; time is monotonic, in seconds.
"""

REST_AFTER_TICKS = 1
"""As many ticks after the last news are done in full: parts of a tick wait for what an earlier one found."""
REST_S, LONG_REST_S, REST_AWAKE_S = 10.0, 30.0, 3.0
"""How long a rest lasts at most: what is wrong and wakes nobody is found this late, if nobody asks. The first one after
news is shorter, since what came of them may still have to be saved. The last one is for a daemon that looks around by
itself each second, without the loop and the native extension for it."""
CURRENT_S = 2.5
"""Who asks has it look around if that was done longer ago."""


class Pace:
    """Decides for each second."""

    def __init__(self, rest_s: float = REST_S) -> None:
        """Start awake; the first rest after news lasts `rest_s` at most, others too if that is not REST_S."""
        self._rest_s = rest_s
        self._long_s = LONG_REST_S if rest_s == REST_S else rest_s
        self._news_s = float("inf")
        self.is_resting = False
        """Whether nothing is to be done before something wakes the daemon, or the rest is over."""
        self._quiet_ticks = 0
        self._looked_s = float("-inf")

    def left_s(self, now_s: float) -> float:
        """Return how long a rest may last from now on: it began with the last tick that was done in full."""
        length_s = self._length_s
        return min(length_s, max(0.0, self._looked_s + length_s - now_s))

    @property
    def _length_s(self) -> float:
        return self._long_s if self._looked_s - self._news_s >= self._rest_s else self._rest_s

    def is_current(self, now_s: float) -> bool:
        """Return whether who asks now need not wait for another look."""
        return 0 <= now_s - self._looked_s < min(CURRENT_S, self._rest_s)

    def is_due(self, now_s: float, *, has_news: bool, is_asked: bool = False) -> bool:
        """Return whether a tick is to be done in full.

        `has_news`: something happened, or is wrong. `is_asked`: somebody may ask how the node is, and is answered next.
        """
        self._quiet_ticks = 0 if has_news else self._quiet_ticks + 1
        if has_news or self._news_s == float("inf"):
            self._news_s = now_s
        is_awake = self._quiet_ticks <= REST_AFTER_TICKS
        self.is_resting = self._quiet_ticks >= REST_AFTER_TICKS
        is_due = (
            is_awake or not 0 <= now_s - self._looked_s < self._length_s or (is_asked and not self.is_current(now_s))
        )
        if is_due:
            self._looked_s = now_s
        return is_due

    def looked(self, now_s: float) -> None:
        """Take that a tick is over: however long it took, who waits for it is answered before the next one."""
        self._looked_s = now_s
