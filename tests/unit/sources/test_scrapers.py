"""Clients of the metrics server: who monitors, and who only asks."""

import random

import pytest

from monitor.model.addresses import parse_address
from monitor.node.scrapers import MAX_CLIENTS, REMEMBERED_S, Scrapers

_PEER = parse_address("10.0.0.9")


def _is_regular(*times: float) -> bool:
    known = Scrapers()
    for time_s in times:
        known.note(_PEER, time_s)
    return list(known.regular()) == [_PEER]


def test_only_the_request_that_shows_a_monitor_is_news() -> None:
    """Those before and after it change nothing about who is to be protected."""
    known = Scrapers()
    assert [known.note(_PEER, 15.0 * turn) for turn in range(5)] == [False, False, True, False, False]


@pytest.mark.parametrize("interval_s", [1.0, 15.0, 60.0, 300.0])
def test_three_scrapes_at_even_intervals_are_a_monitor(interval_s: float) -> None:
    """With the jitter of a busy server; two are not."""
    assert not _is_regular(0.0, interval_s)
    assert _is_regular(0.0, interval_s * 1.02, interval_s * 1.98)


def test_servers_that_share_an_address_are_monitors() -> None:
    """Two or three behind one NAT, each at an even interval: their requests alternate at uneven ones."""
    for offsets in ((0.0, 4.0), (0.0, 1.5, 9.0)):
        times = sorted(15.0 * turn + offset for turn in range(4) for offset in offsets)
        assert not _is_regular(*times[:3])
        assert _is_regular(*times)


@pytest.mark.parametrize(
    "times",
    [(0.0, 15.0, 60.0), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 2000.0, 4000.0), (0.0, 1.0, 3.0, 9.0, 27.0, 81.0)],
)
def test_what_comes_at_other_intervals_is_no_monitor(times: tuple[float, ...]) -> None:
    """A person who tries, a flood, a visitor every half hour."""
    assert not _is_regular(*times)


def test_random_requests_are_rarely_taken_for_a_monitor() -> None:
    """Of 500 clients with three requests in five minutes each, fewer than one in ten."""
    draw = random.Random(7)
    found = sum(_is_regular(*sorted(draw.uniform(0, 300) for _ in range(3))) for _ in range(500))
    assert found < 50


def test_a_monitor_is_one_for_an_hour_and_longer_while_it_is_banned() -> None:
    """It cannot ask while it is banned."""
    known = Scrapers()
    for time_s in (0.0, 15.0, 30.0):
        known.note(_PEER, time_s)
    known.forget(30.0 + REMEMBERED_S - 1, kept=set())
    assert list(known.regular()) == [_PEER]
    known.forget(30.0 + 9 * REMEMBERED_S, kept={_PEER})
    assert list(known.regular()) == [_PEER]
    known.forget(30.0 + 9 * REMEMBERED_S, kept=set())
    assert not known.clients


def test_strangers_cannot_push_out_a_monitor_nor_fill_memory() -> None:
    """Thousands ask once: the table is bounded, the monitor stays; when all are monitors, a new one is counted."""
    known = Scrapers()
    for time_s in (0.0, 15.0, 30.0):
        known.note(_PEER, time_s)
    for number in range(5000):
        known.note(number.to_bytes(4), 30.0 + number * 0.01)
    assert len(known.clients) == MAX_CLIENTS
    assert list(known.regular()) == [_PEER]
    for number in range(MAX_CLIENTS):
        for time_s in (100.0, 115.0, 130.0):
            known.note(b"\x0b\0\0" + bytes((number,)), time_s)
    assert len(list(known.regular())) == MAX_CLIENTS
    known.note(b"\x0c\0\0\1", 140.0)
    assert (len(known.clients), known.refused_total >= 1) == (MAX_CLIENTS, True)


def test_one_host_with_many_addresses_keeps_out_nobody() -> None:
    """Whoever has a /64 to himself can ask regularly from all of it: others are noted, and come second, not last."""
    known = Scrapers()
    for number in range(2 * MAX_CLIENTS):
        for time_s in (0.0, 15.0, 30.0):
            known.note(bytes(15) + bytes((number + 2,)), time_s)
    assert known.refused_total == 3 * MAX_CLIENTS
    for peer in (_PEER, b"\x20\x01" + bytes(14)):
        for time_s in (100.0, 115.0, 130.0):
            known.note(peer, time_s)
    assert list(known.regular())[1:3] == [_PEER, b"\x20\x01" + bytes(14)]
    assert (len(known.clients), known.refused_total) == (MAX_CLIENTS, 3 * MAX_CLIENTS)
