"""Sends the messages of one channel, in a thread of its own: one that is slow or down holds up no other.

What fails for now is sent again after a pause that doubles up to five minutes, or when the other end says; after a day
it is given up. What the other end refuses is counted and not sent again, so that one message cannot block the rest.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from monitor.model.printable import printable
from monitor.notify.channel import Again, Channel, Refused
from monitor.notify.message import Message
from monitor.notify.outbox import Outbox
from monitor.notify.state import ChannelState

_log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
LONGEST_ASKED_S = 6 * 3600.0
"""The longest pause that another end may ask for."""
GIVEN_UP_S = 86_400.0
_TRIED_S = 3600.0
"""For this long a channel must have failed before any message is given up."""
_IDLE_S = 3600.0


class Sender:
    """One channel at work."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Channel],
        outbox: Outbox,
        state: ChannelState,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make` returns the channel, or raises ValueError while it cannot be made. `clock` is wall time."""
        self.name = name
        self.outbox = outbox
        self.state = state
        self._make = make
        self._clock = clock
        self._monotonic = monotonic
        self._failing_since_s: float | None = None
        """Since when nothing gets through, in this run."""
        self._channel: Channel | None = None
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"notify-{name}"[:15], daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError if there can be none."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the thread; what waits stays in the queue."""
        self.outbox.close()
        if self._channel is not None:
            self._channel.close()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self.outbox.is_closed:
            message = self.outbox.first(_IDLE_S)
            if message is not None:
                self._attempt(message)

    def _attempt(self, message: Message) -> None:
        """Try once to deliver the oldest message, and wait after a failure."""
        asked_s: float | None = None
        try:
            self._opened().send(message)
        except Again as error:
            outcome, text, asked_s = "again", str(error), error.after_s
        except Refused as error:
            outcome, text = "refused", str(error)
        except Exception as error:  # noqa: BLE001 - a fault in one channel must not end it, nor show what it sent
            outcome, text = "refused", f"internal fault: {type(error).__name__}"
            _log.debug("channel %s", self.name, exc_info=True)
        else:
            outcome, text = "sent", ""
        if self.outbox.is_closed and outcome != "sent":
            return  # it was interrupted: the next run sends it again
        if outcome != "again":
            self._failing_since_s = None
        elif self._is_given_up(message):
            outcome, text = "refused", f"given up after a day: {text}"
        self._note(outcome, printable(text))
        if outcome != "again":
            self.outbox.done()
            self._pause_s = 0.0
            return
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        pause_s = self._pause_s if asked_s is None else min(max(asked_s, FIRST_PAUSE_S), LONGEST_ASKED_S)
        self.outbox.pause(pause_s * random.uniform(1.0, 1.2))  # noqa: S311 - nodes must not come back at once

    def _is_given_up(self, message: Message) -> bool:
        """Whether a message that failed is too old; a clock that was set forward makes none old at once."""
        now_s = self._monotonic()
        self._failing_since_s = now_s if self._failing_since_s is None else self._failing_since_s
        is_old = self._clock() - message.time_s > GIVEN_UP_S
        return is_old and now_s - self._failing_since_s >= _TRIED_S

    def _opened(self) -> Channel:
        if self._channel is None:
            try:
                self._channel = self._make()
            except (ValueError, OSError, ImportError) as error:
                raise Again(str(error)) from None
        return self._channel

    def _note(self, outcome: str, text: str) -> None:
        """Count, and log the first failure and the first success after it."""
        was_faulty = bool(self.state.fault)
        self.state.count(outcome, text, self._clock())
        if outcome == "refused" or (text and not was_faulty):
            _log.warning("channel %s: %s%s", self.name, self.state.fault, " (refused)" if outcome == "refused" else "")
        elif outcome == "sent" and was_faulty:
            _log.info("channel %s works again, %d messages wait", self.name, len(self.outbox) - 1)
