"""Compares large sets without listing them, for as long as that may be trusted."""

import random
import time
from collections.abc import Callable, Sequence

from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.ruleset import BAN_SETS
from monitor.enforcers.nftables.sizes import LARGE
from monitor.model.bans import Ban

LISTED_EVERY_S = 3600.0
"""A large set is listed once an hour, whatever counts and samples say."""
_SAMPLE = 512
_MAY_BE_GONE = 2
"""Of a sample: bans that were lifted while it was looked up."""
_TOLERANCE = 64
"""Elements by which a count may differ: bans are made and end while it is read."""


class LargeSets:
    """Remembers when each set was listed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take them as listed now; `monotonic` is a clock in seconds."""
        self._monotonic = monotonic
        self._listed_s = dict.fromkeys(BAN_SETS, monotonic())

    def note(self, name: str) -> None:
        """Note that a set was listed."""
        self._listed_s[name] = self._monotonic()

    def distrust(self) -> None:
        """Have the next comparison list each set: others may have changed a few elements unnoticed."""
        self._listed_s = dict.fromkeys(BAN_SETS, float("-inf"))

    def is_alike(self, name: str, wanted: Sequence[Ban], foreign: int) -> bool:
        """Whether a large set has as many elements as it should, and a random sample of its bans.

        `wanted` are the bans that belong into it, `foreign` is how many known elements do not. False if it is small, or
        was not listed for an hour: then it should be. Opens a socket of its own, so it may be called in any thread.
        """
        if name.endswith("_nets") or len(wanted) <= LARGE:
            return False
        if self._monotonic() - self._listed_s[name] > LISTED_EVERY_S:
            return False
        link = NetlinkSocket()
        try:
            definition = listing.read_definitions(link, [name]).get(name)
            if definition is None:
                return False
            if definition.count is not None and abs(definition.count - len(wanted) - foreign) > _TOLERANCE:
                return False
            some = [ban.network for ban in random.sample(wanted, _SAMPLE)]
            return len(listing.lookup_many(link, some, BAN_SETS[name])) >= _SAMPLE - _MAY_BE_GONE
        finally:
            link.close()
