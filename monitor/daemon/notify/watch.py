"""Watches the notifier by the state that it writes: problems, metrics, `status`, doctor.

The file is read in a thread of its own, every few seconds, if the configuration has a channel: a disk that hangs holds
up no ban. The daemon sends nothing itself, so what people learn of a dead notifier, they learn here.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from monitor.metrics.metric import Sample
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.problems import Problem, ProblemKind
from monitor.model.requirements import Part, PartKind, Requirement
from monitor.model.retry import Worker
from monitor.notify.state import STALE_S, STATE_NAME, ChannelState, NotifyState, notify_directory, read_state
from monitor.settings.schema import Settings

_EVERY_S = 5.0
_FAILING_S = 300.0
"""How long a channel may fail before that is a problem: a mail server is restarted now and then."""
_GRACE_S = 120.0
"""How long after the start of the daemon, or a change of the channels, the notifier may take."""
_REPAIR = "systemctl enable --now nodewarden-notify; nodewarden notify status"
OUTCOMES = ("sent", "refused", "lost")


class NotifyWatch:
    """What the configuration asks of the notifier, and how it is."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """`clock` is wall time in seconds."""
        self._clock = clock
        self._worker: Worker | None = None
        self._reading: Future[NotifyState | None] | None = None
        self._due_s = float("-inf")
        self.state: NotifyState | None = None
        self._kinds: dict[str, str] = {}
        self._since_s = 0.0
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Follow changed settings."""
        kinds = {name: kind.kind for name, kind, _ in settings.notify.channels()}
        if kinds != self._kinds:
            self._since_s = self._clock()
        self._kinds = kinds
        self._path: Path = notify_directory(settings.state.directory) / STATE_NAME

    @property
    def has_channels(self) -> bool:
        """Whether the configuration has a channel, so that a notifier follows the events."""
        return bool(self._kinds)

    def tick(self) -> None:
        """Take what was read, and have it read again when it is time."""
        if self._reading is not None and self._reading.done():
            try:
                self.state = self._reading.result()
            except SYSTEM_FAULTS:  # there is no thread: the next time is soon
                self.state = None
            self._reading = None
        now_s = self._clock()
        if self._kinds and self._reading is None and not 0 <= self._due_s - now_s <= _EVERY_S:
            self._due_s = now_s + _EVERY_S
            self._worker = self._worker or Worker("notify")
            self._reading = self._worker.submit(read_state, self._path)

    def close(self) -> None:
        """End the thread."""
        if self._worker:
            self._worker.shutdown(cancel=True)

    def problems(self) -> Iterator[Problem]:
        """Say what keeps people from being notified."""
        now_s = self._clock()
        if not self._kinds:
            return
        if not self._runs(now_s):
            if not 0 <= now_s - self._since_s < _GRACE_S:
                text = (
                    "notifications are configured, but nodewarden-notify.service does not run, or hangs: "
                    "nobody is notified"
                )
                yield Problem(ProblemKind.NOTIFY, text)
            return
        if self.state and self.state.fault and not 0 <= now_s - self._since_s < _GRACE_S:
            yield Problem(ProblemKind.NOTIFY, f"the notifier: {self.state.fault}")
        for name, channel in self._channels():
            if channel.fault and not -STALE_S <= now_s - channel.fault_since_s < _FAILING_S:
                yield Problem(ProblemKind.NOTIFY, f"notifications by {name} fail, {channel.queued} messages wait: "
                              f"{channel.fault}")  # fmt: skip

    def parts(self) -> list[Part]:
        """Return what doctor says; nothing without a channel."""
        if not self._kinds:
            return []
        missing = "; ".join(one.text for one in self.problems())
        need = Requirement("a notifier whose channels work", missing, _REPAIR)
        return [Part("notify", PartKind.SERVICE, is_wanted=True, requirements=[need], is_optional=True)]

    def describe(self) -> list[dict[str, Any]]:
        """Return each channel for `status`."""
        runs = self._runs(self._clock())
        return [
            {
                "name": name,
                "kind": self._kinds[name],
                "runs": runs,
                "sent": channel.sent,
                "refused": channel.refused,
                "lost": channel.lost,
                "queued": channel.queued,
                "fault": channel.fault,
                "fault_since_s": channel.fault_since_s,
                "sent_s": channel.sent_s,
            }
            for name, channel in self._channels()
        ]

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics."""
        for name, channel in self._channels():
            counts = (channel.sent, channel.refused, channel.lost)
            for outcome, count in zip(OUTCOMES, counts, strict=True):
                yield "nodewarden_notify_messages_total", (name, outcome), float(count)
            yield "nodewarden_notify_queue", (name,), float(channel.queued)

    def _runs(self, now_s: float) -> bool:
        """Return whether the notifier wrote its state lately."""
        return self.state is not None and abs(now_s - self.state.heartbeat_s) <= STALE_S

    def _channels(self) -> Iterator[tuple[str, ChannelState]]:
        """Yield each configured channel with what is known of it."""
        known = self.state.channels if self.state else {}
        for name in self._kinds:
            yield name, known.get(name, ChannelState())
