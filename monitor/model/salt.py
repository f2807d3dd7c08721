"""What tables of this process are keyed with, so that nobody outside can choose keys that share a cell.

A number of its own rather than Python's `hash`, whose key cannot be told: a recording has it, so that in a replay a
full window forgets the same keys.
"""

import secrets
from hashlib import blake2b

_BITS = 63
_salt = [secrets.randbits(_BITS)]


def current() -> int:
    """Return the number, from 0 to 2^63 - 1."""
    return _salt[0]


def use(salt: int) -> None:
    """Key the tables that are made from now on with another number: that of a run that is replayed."""
    _salt[0] = salt


def factor(size_bytes: int) -> int:
    """Return an odd number of this many bytes (at most 64) that follows from the number in use."""
    return int.from_bytes(blake2b(_salt[0].to_bytes(16, signed=True), digest_size=size_bytes).digest()) | 1
