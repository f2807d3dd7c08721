"""The messages that wait for one channel: bounded, and shared by the thread that sends with the one that adds."""

import threading
from collections import deque
from collections.abc import Iterable

from msgspec.structs import replace

from monitor.notify.message import Message


class Outbox:
    """A queue in which the message that is being sent stays until it is known what became of it."""

    def __init__(self, bound: int, waiting: Iterable[Message] = ()) -> None:
        """`bound` is how many messages may wait, `waiting` what an earlier run left."""
        self._bound = bound
        self._waiting = deque(waiting)
        self._changed = threading.Condition()
        self._is_closed = False
        self.lost = 0
        """Messages that were dropped because the queue was full."""

    def add(self, message: Message) -> None:
        """Add a message. If there is no room, the oldest that is not being sent gives way; the next one counts it."""
        with self._changed:
            self._waiting.append(message)
            while len(self._waiting) > self._bound:
                being_sent = self._waiting.popleft()
                dropped, heir = self._waiting.popleft(), self._waiting.popleft()
                count = dropped.count + dropped.unseen
                self._waiting.appendleft(replace(heir, unseen=heir.unseen + count))
                self._waiting.appendleft(being_sent)
                self.lost += 1
            self._changed.notify_all()

    def first(self, timeout_s: float) -> Message | None:
        """Return the oldest message, which stays; None if there is none in time, or the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, timeout_s)
            return self._waiting[0] if self._waiting and not self._is_closed else None

    def done(self) -> None:
        """Remove the message that `first` returned."""
        with self._changed:
            self._waiting.popleft()
            self._changed.notify_all()

    def pause(self, pause_s: float) -> None:
        """Wait; a queue that is closed ends it."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, pause_s)

    def close(self) -> None:
        """Have whoever waits return. What is in the queue stays there."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        with self._changed:
            return self._is_closed

    def __len__(self) -> int:
        """Return how many messages wait, with the one that is being sent."""
        with self._changed:
            return len(self._waiting)

    def waiting(self) -> list[Message]:
        """Return the messages that wait, the oldest first."""
        with self._changed:
            return list(self._waiting)
