"""Divides much into parts of a bounded size."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def in_parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of `size`, the last one shorter; items are taken only as far as parts are."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
