"""The notifier: takes events, has them grouped and bounded, and gives each channel what it asked for."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from monitor.notify.channel import Channel
from monitor.notify.events import Noted, noted, unseen
from monitor.notify.gate import Gate, is_urgent_enough
from monitor.notify.grouping import Grouping, single
from monitor.notify.message import Kind, Message
from monitor.notify.outbox import Outbox
from monitor.notify.registration import Place, Registration
from monitor.notify.sections.base import ChannelSettings, EventKind
from monitor.notify.sender import Sender
from monitor.notify.settings import NotifySettings
from monitor.notify.spool import ChannelSpool, Cursor, Spool
from monitor.notify.state import NotifyState

_DIRECTORY_MODE = 0o700
_CLOSING_S = 3.0
_LONGEST_FAULT = 500


class Line:
    """One channel: what it takes, its limit, its queue and its thread."""

    def __init__(
        self, name: str, kind: Registration[Any], section: ChannelSettings, settings: NotifySettings, host: str
    ) -> None:
        """Make a channel that has sent nothing yet."""
        self.name, self.kind, self.section = name, kind, section
        self._bound = settings.queue
        self._limit = section.max_per_hour or settings.max_per_hour
        self._host = host

    def open(self, left: ChannelSpool, make: Callable[[], Channel], clock: Callable[[], float]) -> None:
        """Start the thread, with what an earlier run left."""
        left.state.kind = self.kind.kind
        self.gate = Gate(self._host, self._limit, left.gate)
        self.outbox = Outbox(self._bound, left.waiting)
        self._lost_before = left.state.lost
        self.sender = Sender(self.name, make, self.outbox, left.state, clock)
        self.sender.start()

    def takes(self, event: Noted) -> bool:
        """Return whether the operator asked for such events here."""
        section = self.section
        if event.unseen:
            return not self.kind.is_single
        return (
            event.asked_for_as in section.events
            and is_urgent_enough(event.urgency, section.urgency)
            and not (section.detectors and event.detector and event.detector not in section.detectors)
            and not (section.sets and event.set and event.set not in section.sets)
        )

    def offer(self, event: Noted, message: Message, now_s: float) -> None:
        """Take a message of grouped events."""
        if not self.kind.is_single and self.takes(event) and self.gate.admit(message, now_s):
            self.outbox.add(message)

    def offer_single(self, event: Noted, host: str, now_s: float) -> None:
        """Take each ban on its own, where the kind of channel is one for that."""
        if self.kind.is_single and event.kind is Kind.BAN and event.asked_for_as is EventKind.BAN and self.takes(event):
            self.outbox.add(single(host, event, now_s))

    def tick(self, now_s: float) -> None:
        """Send what the limit kept back, as soon as it may pass."""
        if (message := self.gate.due(now_s)) is not None:
            self.outbox.add(message)

    def spool(self) -> ChannelSpool:
        """Return what a restart must not lose."""
        waiting = self.outbox.waiting()
        state = self.sender.state
        state.lost, state.queued = self._lost_before + self.outbox.lost, len(waiting)
        return ChannelSpool(gate=self.gate.state, state=state, waiting=waiting)


class Notifier:
    """All channels of a configuration."""

    def __init__(
        self, settings: NotifySettings, host: str, directory: Path, left: Spool, clock: Callable[[], float] = time.time
    ) -> None:
        """`directory` is STATE/notify, `left` what an earlier run knew: channels that are gone are forgotten."""
        self._clock = clock
        self._host = host
        self._directory = directory
        self._left = left
        self.unseen = left.unseen
        self._grouping = Grouping(host, settings.digest_every_s, left.pending)
        self.lines = [Line(name, kind, section, settings, host) for name, kind, section in settings.channels()]

    def start(self) -> None:
        """Start a thread for each channel; OSError or RuntimeError if that fails."""
        for line in self.lines:
            place = Place(host=self._host, directory=self._directory / line.name)
            place.directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            left = self._left.channels.get(line.name, ChannelSpool())
            line.open(left, partial(line.kind.make, line.name, line.section, place), self._clock)

    def take(self, events: Iterable[Mapping[str, Any]], lost: int, now_s: float) -> None:
        """Take events of the daemon, and how many it no longer had."""
        if lost:
            self.unseen += lost
            self.note(unseen(lost), now_s)
        for event in events:
            if (one := noted(event)) is not None:
                self.note(one, now_s)

    def note(self, event: Noted, now_s: float) -> None:
        """Take one event. What no channel asked for is in no group, and counts nowhere."""
        for line in self.lines:
            line.offer_single(event, self._host, now_s)
        if any(line.takes(event) for line in self.lines if not line.kind.is_single):
            self._send(self._grouping.take(event, now_s), now_s)

    def tick(self, now_s: float) -> None:
        """Send the digests that are due, and what limits kept back."""
        for line in self.lines:
            line.tick(now_s)
        for due in self._grouping.due(now_s):
            self._send(due, now_s)

    def _send(self, found: tuple[Noted, Message] | None, now_s: float) -> None:
        if found is not None:
            for line in self.lines:
                line.offer(*found, now_s)

    def spool(self, cursor: Cursor | None) -> Spool:
        """Return what a restart must not lose."""
        return Spool(
            cursor=cursor,
            unseen=self.unseen,
            pending=self._grouping.pending,
            channels={line.name: line.spool() for line in self.lines},
        )

    def state(self, fault: str) -> NotifyState:
        """Return what the daemon and `notify status` show, without the time."""
        return NotifyState(
            pid=os.getpid(),
            unseen=self.unseen,
            fault=fault[:_LONGEST_FAULT],
            channels={line.name: line.spool().state for line in self.lines},
        )

    def close(self) -> None:
        """End the threads; what waits is in the spool."""
        for line in self.lines:
            line.outbox.close()
        for line in self.lines:
            line.sender.close(_CLOSING_S)
