"""What keeps a list from being renewed."""

import enum


class ListCause(enum.StrEnum):
    """Kinds of faults: words for metrics, a closed set."""

    UNREACHABLE = "unreachable"
    """No address, no connection, or the connection broke."""
    CERTIFICATE = "certificate"
    STATUS = "status"
    """The server answered with an error."""
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    TOO_LARGE = "too-large"
    TRUNCATED = "truncated"
    CONTENT = "content"
    """It is no list: HTML, an unknown encoding, damaged gzip."""
    LINES = "lines"
    """Too many lines cannot be read."""
    EMPTY = "empty"
    FULL = "full"
    """More networks than `max`."""
    JUMP = "jump"
    """Much smaller or larger than the last copy."""
    FILE = "file"
    """The source, or our copy, is a file that cannot be read or written."""


class ListFault(Exception):  # noqa: N818 - the update did not happen; the last good copy stays
    """An update is not taken; the text says why, and what to do where there is something to do."""

    def __init__(self, cause: ListCause, text: str) -> None:
        super().__init__(text)
        self.cause = cause
