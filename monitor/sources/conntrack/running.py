"""Lists the connection table now and then, so that bytes of long flows are counted while they run.

Events carry counters only when a flow ends, and a transfer of hours would show then, all at once. A listing is read a
little each second, and the next one starts half a minute after the last: the cost does not grow with the table.
"""

import time
from collections.abc import Callable

from monitor.model.errors import NodewardenError
from monitor.model.flows import Flow
from monitor.sources.conntrack.fast_decoder import FlowDecoder
from monitor.sources.conntrack.reader import Listing

_PAUSE_S = 30.0
_PAUSE_WITHOUT_COUNTERS_S = 600.0
"""Without net.netfilter.nf_conntrack_acct there is nothing to count."""
_DATAGRAMS_A_STEP = 16
"""A datagram holds about a hundred entries: some milliseconds each second."""

TakeRunning = Callable[[list[Flow], bool], None]
"""Takes flows with counters as of now; the flag says that a listing is complete with these."""


class RunningFlows:
    """Owns the listing; a listing that fails is made again later, since nothing but bytes depends on it."""

    def __init__(self, take: TakeRunning, clock: Callable[[], float] = time.monotonic) -> None:
        """List nothing yet; `take` gets the flows."""
        self._take = take
        self._clock = clock
        self._decoder = FlowDecoder()
        self._listing: Listing | None = None
        self._next_s = float("-inf")
        self._has_counters = False

    @property
    def is_listing(self) -> bool:
        """Whether a listing is not complete yet."""
        return self._listing is not None

    def step(self) -> None:
        """Read a little; to be called each second."""
        if self._listing is None:
            if self._clock() < self._next_s:
                return
            self._has_counters = False
        try:
            self._listing = self._listing or Listing(self._decoder)
            flows = [flow for flow in self._listing.read(_DATAGRAMS_A_STEP) if flow.original_bytes is not None]
        except (NodewardenError, OSError):
            self.close()
            self._next_s = self._clock() + _PAUSE_S
            return
        self._has_counters = self._has_counters or bool(flows)
        is_done, is_whole = self._listing.is_done, not self._listing.is_interrupted
        if flows or is_done:
            self._take(flows, is_done and is_whole)
        if is_done:
            self.close()
            self._next_s = self._clock() + (_PAUSE_S if self._has_counters else _PAUSE_WITHOUT_COUNTERS_S)

    def close(self) -> None:
        """Stop listing."""
        if self._listing:
            self._listing.close()
            self._listing = None
