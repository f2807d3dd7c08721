"""Which log prefixes of packet lines are offences; remembers what it decided for up to 256 of them."""

from collections.abc import Sequence

_MAX_KNOWN = 256
_TRACKING = "nf_ct_"
"""Connection tracking's own prefixes (nf_conntrack_log_invalid): nobody dropped these packets."""


class LogPrefixes:
    """The prefixes that count.

    `prefixes`: only lines whose log prefix starts with one of these count; empty means all.
    `ignore_prefixes`: lines whose log prefix contains one of these, in any case, do not count.
    """

    def __init__(self, prefixes: Sequence[str] = (), ignore_prefixes: Sequence[str] = ()) -> None:
        """Take what is configured."""
        self._prefixes = tuple(prefixes)
        self._ignored = tuple(prefix.casefold() for prefix in ignore_prefixes)
        self._known: dict[str, bool] = {}

    def counts(self, prefix: str) -> bool:
        """Whether lines with this log prefix are offences."""
        known = self._known.get(prefix)
        if known is None:
            folded = prefix.casefold()
            is_wanted = prefix.startswith(self._prefixes) if self._prefixes else not prefix.startswith(_TRACKING)
            known = is_wanted and not any(word in folded for word in self._ignored)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[prefix] = known
        return known
