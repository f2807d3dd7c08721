"""Listings: pages in order, each ban once, whatever ends and comes in the meantime."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans.ledger import Ledger
from monitor.control.protocol import ListBans
from monitor.daemon.control.listing import SORTS, ListingLostError, Listings, finish
from monitor.model.addresses import host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban


def _ledger(count: int) -> Ledger:
    ledger = Ledger(max_bans=100_000)
    for number in range(count):
        network = host((number * 7919 % 2**24).to_bytes(4))
        ledger.put(Ban(network, Strength.PROVEN, float(number % 97), 1e12 + number % 89, "sshd", "why"))
    return ledger


def _pages(listings: Listings, request: ListBans) -> list[list[str]]:
    pages = []
    while True:
        page = finish(listings.page(request, None))
        pages.append([one["network"] for one in page["bans"]])
        if not page["cursor"]:
            return pages
        request = ListBans(sort=request.sort, limit=request.limit, cursor=page["cursor"])


@given(st.integers(0, 6000), st.sampled_from(sorted(SORTS)), st.integers(500, 5000), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_pages_are_the_sorted_list(count: int, sort: str, limit: int, offset: int) -> None:
    """Sorted in parts, merged, and cut into pages: as if sorted at once."""
    ledger = _ledger(count)
    listings = Listings(ledger, lambda _: [])
    request = ListBans(sort=sort, limit=limit, offset=offset)  # type: ignore[arg-type]
    found = [one for page in _pages(listings, request) for one in page]
    assert found == [str(ban.network) for ban in sorted(ledger.bans(), key=SORTS[sort])[offset:]]


def test_it_is_sorted_once() -> None:
    """What comes during a listing is not in it, what ended is left out, and the work is done in steps."""
    ledger = _ledger(5000)
    listings = Listings(ledger, lambda _: [])
    first = listings.page(ListBans(limit=2000, sort="network"), None)
    steps = 0
    try:
        while True:
            next(first)
            steps += 1
    except StopIteration as end:
        page = end.value
    assert steps >= 5
    assert page["total"] == 5000
    bans = sorted(ledger.bans(), key=SORTS["network"])
    for ban in bans[3000:3500]:
        ledger.remove(ban.network, ban.strength)
    ledger.put(Ban(host(b"\xff\xff\xff\xff"), Strength.PROVEN, 0.0, 1e12, "sshd", "new"))
    rest = _pages(listings, ListBans(limit=2000, sort="network", cursor=page["cursor"]))
    found = [one for part in rest for one in part]
    assert found == [str(ban.network) for ban in bans[2000:3000] + bans[3500:]]


def test_listings_that_nobody_continues_are_forgotten() -> None:
    """Eight at most, and none for more than a minute: each keeps its bans in memory."""
    now_s = [0.0]
    listings = Listings(_ledger(20), lambda _: [], lambda: now_s[0])
    cursors = [finish(listings.page(ListBans(limit=5), None))["cursor"] for _ in range(9)]
    with pytest.raises(ListingLostError):
        finish(listings.page(ListBans(limit=5, cursor=cursors[0]), None))
    assert finish(listings.page(ListBans(limit=5, cursor=cursors[8]), None))["bans"]
    now_s[0] = 61.0
    with pytest.raises(ListingLostError):
        finish(listings.page(ListBans(limit=5, cursor=cursors[7]), None))
