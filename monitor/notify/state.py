"""How the notifier is, in `STATE/notify/state.json`: it writes, the daemon and commands read."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.files.regular import read_regular
from monitor.files.replaced import replace_file

STATE_NAME = "state.json"
MAX_BYTES = 65_536
_MODE = 0o640
HEARTBEAT_S = 5.0
"""How often it is written at least while the notifier runs."""
STALE_S = 60.0
"""A heartbeat that is older: the notifier does not run, or hangs."""
_LONGEST = 500
_Text = Annotated[str, Meta(max_length=2 * _LONGEST)]
_Count = Annotated[int, Meta(ge=0)]


class ChannelState(msgspec.Struct, kw_only=True):
    """One channel; times are wall time in seconds since the epoch, 0: never. Counts are since the first start."""

    kind: _Text = ""
    sent: _Count = 0
    refused: _Count = 0
    """Messages that the other end refused, or that could not be delivered within a day."""
    lost: _Count = 0
    """Messages that were dropped because the queue was full."""
    queued: _Count = 0
    fault: _Text = ""
    """Why the last attempt failed; empty: it did not."""
    fault_since_s: float = 0.0
    """Since when no message was delivered although there was one."""
    sent_s: float = 0.0
    """The last success."""

    def count(self, outcome: str, text: str, now_s: float) -> None:
        """Note what became of an attempt: `sent`, `refused`, or `again` (nothing is counted)."""
        if outcome == "sent":
            self.sent += 1
            self.fault, self.fault_since_s, self.sent_s = "", 0.0, now_s
            return
        self.refused += outcome == "refused"
        self.fault = text[:_LONGEST] or "it failed"
        self.fault_since_s = self.fault_since_s or now_s


class NotifyState(msgspec.Struct, kw_only=True):
    """The notifier."""

    v: int = 1
    heartbeat_s: float = 0.0
    pid: int = 0
    unseen: _Count = 0
    """Events that the daemon no longer kept when the notifier asked for them."""
    fault: _Text = ""
    """What keeps all channels from their work: no answer from the daemon, a full disk."""
    channels: Annotated[dict[str, ChannelState], Meta(max_length=64)] = {}


def notify_directory(state: Path) -> Path:
    """Return where the notifier's files are, given the state directory."""
    return state / "notify"


def read_state(path: Path) -> NotifyState | None:
    """Return what the notifier wrote; None if there is nothing, or if it cannot be understood."""
    try:
        content = read_regular(path, MAX_BYTES)
        return _decoder.decode(content) if len(content) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None


def write_state(path: Path, state: NotifyState) -> None:
    """Replace the state; OSError if that fails."""
    replace_file(path, msgspec.json.encode(state), mode=_MODE)


_decoder = msgspec.json.Decoder(NotifyState)
