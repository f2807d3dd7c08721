"""Bitmaps of ports: how well they count, and that floods cannot wash them out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.bitmap_window import BitmapWindow
from monitor.model.port_bitmap import BITS, FULL, estimate


@pytest.mark.parametrize(("ports", "error"), [(15, 0.12), (30, 0.13), (100, 0.2)])
def test_the_estimate_is_as_good_as_stated(ports: int, error: float) -> None:
    """The mean is right, and the standard error is that of the documentation, with some room for chance."""
    chance = random.Random(ports)
    found = []
    for _ in range(2000):
        bitmap = 0
        for _ in range(ports):
            bitmap |= 1 << chance.randrange(BITS)
        found.append(estimate(bitmap))
    assert sum(found) / len(found) == pytest.approx(ports, rel=0.05)
    assert (sum((one - ports) ** 2 for one in found) / len(found)) ** 0.5 < error * ports


@given(st.integers(0, FULL))
def test_an_alert_takes_as_many_ports_as_bits(bitmap: int) -> None:
    """The estimate is never below the bits; 15 take at least 14 of these, and 30 at least 24."""
    assert estimate(bitmap) >= bitmap.bit_count()
    assert estimate(bitmap) < 15 or bitmap.bit_count() >= 14
    assert estimate(bitmap) < 30 or bitmap.bit_count() >= 24


def test_a_flood_of_single_ports_does_not_wash_out_a_scan() -> None:
    """A source halfway to the threshold is found among a hundred thousand with a port each; memory stays bounded."""
    window = BitmapWindow(findtime_s=600.0, maxretry=15, max_entries=1024)
    assert window.add(b"scan", 0xFF, 1000.0) is None
    for number in range(100_000):
        assert window.add(number.to_bytes(4), 1, 1000.0 + number / 1000) is None
        assert window.stats.entries <= 1024
    assert window.stats.evicted_keys > 90_000
    assert window.add(b"scan", 0xFF00, 1101.0) == 0xFFFF
    assert window.count(b"scan") == 0


def test_a_clock_that_was_set_starts_again() -> None:
    """What lies in a future that will not come for long is dropped; a small step back is not."""
    window = BitmapWindow(findtime_s=600.0, maxretry=15, max_entries=1024)
    window.add(b"a", 0xFF, 10_000.0)
    window.add(b"a", 0xF00, 9_900.0)
    assert window.count(b"a") == int(estimate(0xFFF))
    window.add(b"a", 1, 1000.0)
    assert (window.count(b"a"), window.stats.entries) == (1, 1)
