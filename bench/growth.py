"""Growth: the cost of one unit at several sizes of the input, and whether the whole grows faster than n log n."""

from collections.abc import Mapping
from itertools import pairwise
from math import log2

from bench.registry import BenchmarkError, Figure

_TOLERANCE = 3.0
"""Machines are noisy, and caches are small: between two sizes the whole may grow by three times what n log n does."""


def growth(name: str, unit: str, costs: Mapping[int, float]) -> Figure:
    """Return the figure of a dimension, from the cost of one unit at each size; BenchmarkError if it grows too fast.

    Per unit, n log n grows as log n.
    """
    sizes = sorted(costs)
    for smaller, larger in pairwise(sizes):
        allowed = costs[smaller] * _TOLERANCE * log2(larger + 1) / log2(smaller + 1)
        if costs[larger] > allowed:
            raise BenchmarkError(
                f"{name}: {costs[larger]:.3f} {unit} at {larger:,}, {costs[smaller]:.3f} at {smaller:,}: "
                "the whole grows faster than n log n"
            )
    return Figure.with_sizes(name, unit, {size: costs[size] for size in sizes})
