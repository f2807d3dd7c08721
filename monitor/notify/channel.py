"""What a channel is: it sends a message, or says why not. Each has a thread of its own, so it may block."""

from typing import Protocol

from monitor.notify.message import Message


class Refused(Exception):  # noqa: N818 - states the condition
    """The other end refuses this message: it is counted as failed and not sent again."""


class Again(Exception):  # noqa: N818
    """It failed for now: it is sent again after `after_s`, or when the pause of the queue is over if that is None."""

    def __init__(self, text: str, after_s: float | None = None) -> None:
        super().__init__(text)
        self.after_s = after_s


class Channel(Protocol):
    """Sends messages to one place."""

    def send(self, message: Message) -> None:
        """Deliver one message within the time limit of the channel; raise Refused or Again."""

    def close(self) -> None:
        """Close what is open; `send` in another thread ends soon afterwards."""
