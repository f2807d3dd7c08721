"""What tests of the daemon's loop share."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read from, and the end to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)
