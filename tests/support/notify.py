"""Channels that note what they are given, settings with such channels, and events as the daemon reports them."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.model.errors import NodewardenError
from monitor.notify.channel import Channel
from monitor.notify.message import Message
from monitor.notify.registration import Place, Registration
from monitor.notify.sections.base import ChannelSettings
from monitor.notify.settings import NotifySettings


class Recorder:
    """Notes messages; raises what `faults` has for each attempt, None for a success, then nothing."""

    made: dict[str, "Recorder"] = {}
    prepared: dict[str, list[Exception | None]] = {}
    """By name of the channel: what its first attempts raise."""

    def __init__(self, name: str, section: ChannelSettings, place: Place) -> None:
        self.faults = self.prepared.pop(name, [])
        self.messages: list[Message] = []
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()
        """Cleared, it holds up whatever is sent."""
        self.made[name] = self

    def send(self, message: Message) -> None:
        """Note a message."""
        self.gate.wait(10.0)
        self.attempts += 1
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        self.messages.append(message)

    def close(self) -> None:
        """Let go of what is held up."""
        self.gate.set()


_IS_CHANNEL: type[Channel] = Recorder
_WHERE = f"{__name__}:{Recorder.__name__}"
KIND: Registration[ChannelSettings] = Registration(
    kind="recorder", settings=ChannelSettings, summary="", implementation=_WHERE
)
SINGLE: Registration[ChannelSettings] = Registration(
    kind="each", settings=ChannelSettings, summary="", implementation=_WHERE, is_single=True
)


class RecorderSettings(NotifySettings, frozen=True, kw_only=True):  # type: ignore[call-arg]
    """Settings with channels that only note."""

    recorder: dict[str, ChannelSettings] = {}
    each: dict[str, ChannelSettings] = {}

    def channels(self) -> Iterator[tuple[str, Registration[Any], ChannelSettings]]:
        """Yield them."""
        for kind, sections in ((KIND, self.recorder), (SINGLE, self.each)):
            for name, section in sections.items():
                yield name, kind, section


def ban(number: int = 1, detector: str = "sshd", **more: Any) -> dict[str, Any]:
    """Return the event of a ban."""
    return {
        "event": "ban", "number": number, "time_s": 1000.0 + number, "network": f"192.0.2.{number % 250 + 1}",
        "ports": [], "set": "ban", "strength": "proven", "mode": "enforce", "since_s": 1000.0 + number,
        "until_s": 4600.0 + number, "detector": detector, "origin": "detector",
        "reason": f"5 failures of sshd within 600 s: user{number}",
    } | more  # fmt: skip


class Peer:
    """A daemon's answers to requests for events; a restart forgets them, as that of a daemon does."""

    def __init__(self) -> None:
        self.run, self.events, self.lost = "1.0", list[Mapping[str, Any]](), 0
        self.fault: Exception | None = None

    def happen(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events, which get the next numbers."""
        start = self.lost + len(self.events)
        self.events += [dict(one) | {"number": start + n} for n, one in enumerate(events, 1)]

    def restart(self) -> None:
        """Forget."""
        self.run, self.events, self.lost = f"{float(self.run) + 1}", [], 0

    def ask(self, after: int, run: str = "") -> Mapping[str, Any]:
        """Answer as the daemon does, 256 at a time; one of an older version knows nothing of runs."""
        if run:
            raise NodewardenError("unknown field `run`")
        if self.fault:
            raise self.fault
        newer = [one for one in self.events if one["number"] > after]
        page, last = newer[:256], self.lost + len(self.events)
        is_full = len(page) == 256
        return {"run": self.run, "last": page[-1]["number"] if is_full else last, "more": is_full,
                "lost": max(0, self.lost - after), "events": page}  # fmt: skip


def spool_path(directory: Path) -> Path:
    """Return where the notifier of a directory keeps what it must not lose."""
    return directory / "spool.json"
