"""Lists of bans, page by page: sorted once, in parts between which the loop does its other work.

A listing is a snapshot of which bans match, in order. The requester repeats the cursor of a page to get the next one.
Bans that ended in the meantime are left out; those that came are not in it.
"""

import heapq
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any, NamedTuple

from monitor.bans.ledger import Ledger
from monitor.control.protocol import MAX_PAGE, ListBans
from monitor.daemon.control.presentation import show_ban, show_foreign
from monitor.enforcers.protocol import ForeignElement
from monitor.model.addresses import Network
from monitor.model.bans import FOREIGN, WORDS, Ban, Mode
from monitor.model.errors import NodewardenError
from monitor.model.parts import in_parts

SORTS: dict[str, Callable[[Ban], Any]] = {
    "since": lambda ban: (-ban.since_s, ban.network.address, ban.network.prefix_length),
    "ends": lambda ban: (ban.until_s, ban.network.address, ban.network.prefix_length),
    "network": lambda ban: (len(ban.network.address), ban.network.address, ban.network.prefix_length),
}
_PART = 2048
"""Bans that are filtered and sorted, or shown, at a time: 5 ms."""
_SHOWN_PART = 512
_MAX_LISTINGS = 8
_KEPT_S = 60.0

Page = Generator[None, None, dict[str, Any]]
"""Does its work in steps, and returns the page."""


class _Listing(NamedTuple):
    total: int
    left: Iterator[Ban]
    foreign: Iterator[ForeignElement]
    used_s: float


class ListingLostError(NodewardenError):
    """The cursor is of no listing that is still known."""


class Listings:
    """Listings that are being read; at most eight, those read longest ago go first, and after a minute."""

    def __init__(
        self,
        ledger: Ledger,
        foreign: Callable[[float], list[ForeignElement]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`foreign` returns the elements of other programs at a wall time; `clock` is monotonic, in seconds."""
        self._ledger = ledger
        self._foreign = foreign
        self._clock = clock
        self._open: OrderedDict[str, _Listing] = OrderedDict()

    def page(self, request: ListBans, within: Network | None) -> Page:
        """Show a page: the first of a new listing, or the one after a cursor. Raises ListingLostError."""
        self._forget_old()
        if request.cursor:
            listing = self._open.pop(request.cursor, None)
            if listing is None:
                raise ListingLostError("this listing is no longer known: request it again")
        else:
            listing = yield from self._start(request, within)
        limit = max(0, min(request.limit, MAX_PAGE))
        shown: list[dict[str, Any]] = []
        now_s = time.time()
        get = self._ledger.get
        while len(shown) < limit and (ban := next(listing.left, None)) is not None:
            if (current := get(ban.network, ban.strength)) is None:
                continue
            shown.append(show_ban(current, now_s))
            if not len(shown) % _SHOWN_PART:
                yield
        shown += [show_foreign(one, now_s) for one in islice(listing.foreign, limit - len(shown))]
        return {"total": listing.total, "bans": shown, "cursor": self._keep(listing) if len(shown) >= limit else ""}

    def _start(self, request: ListBans, within: Network | None) -> Generator[None, None, _Listing]:
        key = SORTS[request.sort]
        runs: list[list[Ban]] = []
        for part in in_parts(list(self._ledger.bans()), _PART):
            runs.append(sorted(_matching(part, request, within), key=key))
            yield
        foreign = self._matching_foreign(request, within)
        count = sum(map(len, runs))
        first = max(0, request.offset)
        left = islice(heapq.merge(*runs, key=key), first, None)
        return _Listing(count + len(foreign), left, iter(foreign[max(0, first - count) :]), self._clock())

    def _matching_foreign(self, request: ListBans, within: Network | None) -> list[ForeignElement]:
        """Return the elements of other programs that match; not more than are known one by one."""
        if not request.foreign or request.detector not in ("", FOREIGN):
            return []
        return [
            one
            for one in self._foreign(time.time())
            if request.set in ("", WORDS[one.strength]) and (within is None or one.overlaps(within))
        ]

    def _keep(self, listing: _Listing) -> str:
        cursor = secrets.token_hex(8)
        self._open[cursor] = listing._replace(used_s=self._clock())
        if len(self._open) > _MAX_LISTINGS:
            self._open.popitem(last=False)
        return cursor

    def _forget_old(self) -> None:
        """Forget listings that nobody continues: each holds all its bans."""
        now_s = self._clock()
        while self._open and not 0 <= now_s - next(iter(self._open.values())).used_s < _KEPT_S:
            self._open.popitem(last=False)


def step(page: Page) -> dict[str, Any] | None:
    """Do one step of the work of a page; return the page once it is done."""
    try:
        next(page)
    except StopIteration as end:
        result: dict[str, Any] = end.value
        return result
    return None


def finish(page: Page) -> dict[str, Any]:
    """Do all of the work of a page at once."""
    while (result := step(page)) is None:
        pass
    return result


def _matching(bans: list[Ban], request: ListBans, within: Network | None) -> list[Ban]:
    return [
        ban
        for ban in bans
        if (request.observed or ban.mode is Mode.ENFORCE)
        and request.detector in ("", ban.detector)
        and request.set in ("", ban.word)
        and (within is None or within.overlaps(ban.network))
    ]
