"""Bitmaps of ports: what `bpf/drops.c` notes of a source's probes, and how many distinct ports that stands for. Pure.

Each port, with its protocol, sets one of 64 bits that a random function chose. Two ports may share a bit, so the number
of distinct ports is estimated by linear counting (Whang, Vander-Zanden and Taylor 1990): n = -m ln(z/m) where z of m
bits are zero. Its standard error is 9 % at 15 ports, 10 % at 30, 15 % at 100. A lower bound is certain: there are at
least as many ports as bits, so an estimate of 15 takes at least 14 distinct ports, and one of 30 at least 24.
"""

import math

BITS = 64
FULL = (1 << BITS) - 1
_MOST = BITS * math.log(2 * BITS)
"""The estimate where all bits are set: as if half a bit was not."""
_ESTIMATES = (*(-BITS * math.log((BITS - count) / BITS) for count in range(BITS)), _MOST)


def estimate(bitmap: int) -> float:
    """Return how many distinct ports have set these bits."""
    return _ESTIMATES[bitmap.bit_count()]
