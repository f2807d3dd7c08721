"""What can go wrong with LAPI."""

import enum

from monitor.model.errors import TemporaryError
from monitor.model.printable import printable

_LONGEST = 200


class Cause(enum.StrEnum):
    """Why an exchange failed: a closed set, a metric label."""

    UNREACHABLE = "unreachable"
    """No connection; nothing was sent."""
    TLS = "tls"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """LAPI does not accept key, password or token."""
    STATUS = "status"
    """LAPI answered with another status than expected."""
    ANSWER = "answer"
    """The answer is not that of a LAPI, or ended early."""
    CREDENTIALS = "credentials"
    """A file with a key or password cannot be used."""
    INTERNAL = "internal"
    """Memory or threads ran out."""


class LapiError(TemporaryError):
    """An exchange failed; it is tried again. The text is for people and holds no secret."""

    def __init__(self, cause: Cause, text: str) -> None:
        """`text` may contain what a server sent."""
        super().__init__(shortened(text))
        self.cause = cause


def shortened(text: str) -> str:
    """Return text of strangers for people: printable, in one line, at most 200 characters."""
    return " ".join(printable(text[:_LONGEST]).split())
