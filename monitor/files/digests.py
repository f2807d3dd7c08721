"""Digests of much, in parts, so that other threads run in between."""

import hashlib

_PART_BYTES = 1 << 16


def add_in_parts(digest: "hashlib._Hash", data: bytes) -> None:
    """Add data to a digest.

    Python's own SHA-256, which a daemon without OpenSSL has, keeps the interpreter for a whole call: 4 ms for 1 MB,
    which would be those of a ban.
    """
    view = memoryview(data)
    for at in range(0, len(data), _PART_BYTES):
        digest.update(view[at : at + _PART_BYTES])
