"""Digests of much data let other threads run."""

import hashlib

import pytest

from monitor.files.digests import add_in_parts


class _Parts:
    """Notes how much is added at once."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.sizes: list[int] = []

    def update(self, data: memoryview) -> None:
        """Add it."""
        self.sizes.append(len(data))
        self.digest.update(data)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_a_digest_in_parts_is_that_of_the_whole(size: int) -> None:
    """No call has more than the interpreter spares for a fraction of a millisecond."""
    data, parts = bytes(range(256)) * (size // 256) + bytes(size % 256), _Parts()
    add_in_parts(parts, data)  # type: ignore[arg-type]
    assert parts.digest.digest() == hashlib.sha256(data).digest()
    assert all(one <= 65_536 for one in parts.sizes)
