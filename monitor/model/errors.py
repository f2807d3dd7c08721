"""Errors, split by what the one who catches them must do."""


class NodewardenError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigError(NodewardenError):
    """The operator must change the configuration; it carries every fault at once, one a line."""


class MalformedRecord(NodewardenError):  # noqa: N818 - the design's word; it is counted, not reported
    """One record cannot be understood: count it by `cause` and go on with the next."""

    def __init__(self, cause: str, detail: str = "") -> None:
        """`cause` is one of a closed set of words (a metric label), `detail` is for people."""
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause


class TemporaryError(NodewardenError):
    """It may work when tried again: retry, and say so while it lasts."""


class PermanentError(NodewardenError):
    """It will not work until somebody acts: stop, with a message that says what to do."""


class AlreadyOwned(PermanentError):  # noqa: N818 - named after the state
    """Another process owns the network namespace; the text names it where it can be known."""


SYSTEM_FAULTS = (NodewardenError, OSError, MemoryError, RuntimeError)
"""What a system call, a lack of memory or a thread that cannot be started (RuntimeError) may raise."""


def explain(error: Exception) -> str:
    """Return an error's text for people: of an OSError the system's words, without number and path."""
    return error.strerror or repr(error) if isinstance(error, OSError) else str(error) or repr(error)
