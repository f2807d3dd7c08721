"""How often the daemon does what time alone calls for: each second, or each third one while nothing happens.

A tick that finds nothing costs two milliseconds of a processor, most of them because its code and data have left the
caches since the last one. So a quiet second takes only a look at what wakes nobody: counters of the kernel. Whatever
happens has the next tick done in full, and the one after it: parts of a tick wait for what an earlier one found.
"""

REST_AFTER_TICKS = 1
"""As many ticks after the last news are done in full."""
REST_TICKS = 3
"""Then each third is: what is wrong and reports itself to nobody is a problem of `status` two seconds later."""


class Pace:
    """Decides for each second."""

    def __init__(self) -> None:
        """Start awake."""
        self._quiet_ticks = 0

    def is_due(self, *, has_news: bool) -> bool:
        """Return whether this tick is to be done in full; `has_news`: something happened, or is wrong."""
        self._quiet_ticks = 0 if has_news else self._quiet_ticks + 1
        return self._quiet_ticks <= REST_AFTER_TICKS or (self._quiet_ticks - REST_AFTER_TICKS) % REST_TICKS == 0
