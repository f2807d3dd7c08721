"""What a restart of the notifier must not lose, in `STATE/notify/spool.json`: one file, so that its parts fit together.

It says up to which event the daemon was heard, what groups and limits know, and what waits for each channel. An event
after the cursor is in the journal or asked for again, so a notifier that was killed repeats a message at worst, and
loses none.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.files.regular import read_regular
from monitor.files.replaced import replace_file
from monitor.notify.gate import GateState
from monitor.notify.grouping import Pending
from monitor.notify.message import Message
from monitor.notify.state import ChannelState

MAX_BYTES = 256 << 20
_MODE = 0o600
_BYTES_PER_S = 200_000


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Up to which event the daemon was heard; numbers start again with each run of the daemon."""

    run: str
    last: int


class ChannelSpool(msgspec.Struct, kw_only=True):
    """What one channel needs again."""

    gate: GateState = msgspec.field(default_factory=GateState)
    state: ChannelState = msgspec.field(default_factory=ChannelState)
    waiting: list[Message] = []


class Spool(msgspec.Struct, kw_only=True):
    """All of it."""

    v: int = 1
    cursor: Cursor | None = None
    unseen: int = 0
    pending: Annotated[dict[str, Pending], Meta(max_length=1024)] = {}
    channels: Annotated[dict[str, ChannelSpool], Meta(max_length=64)] = {}


def read_spool(path: Path) -> tuple[Spool, str]:
    """Return what an earlier run left, and what is wrong with it; an unusable file is set aside."""
    try:
        return _decoder.decode(read_regular(path, MAX_BYTES)), ""  # what is longer is cut, and then no JSON
    except FileNotFoundError:
        return Spool(), ""
    except (OSError, ValueError, RecursionError) as error:
        fault = f"{path} cannot be used, so messages that waited may be lost: {error}"
        try:
            path.replace(path.with_name(f"{path.name}.unusable"))
        except OSError as left:
            fault = f"{fault}; it cannot be set aside: {left}"
        return Spool(), fault


class SpoolFile:
    """Writes the spool when something changed, less often if it is large."""

    def __init__(self, path: Path) -> None:
        """Write to this path."""
        self._path = path
        self._written = b""
        self._due_s = float("-inf")
        self.fault = ""

    def save(self, spool: Spool, now_s: float, *, is_last: bool = False) -> bool:
        """Write it unless that was just done; return whether the file has it. `now_s` is monotonic.

        What fails is in `fault` and tried again.
        """
        if now_s < self._due_s and not is_last:
            return False
        content = msgspec.json.encode(spool)
        self._due_s = now_s + 1.0 + len(content) / _BYTES_PER_S
        if content == self._written:
            return True
        try:
            replace_file(self._path, content, mode=_MODE)
        except OSError as error:
            self.fault = f"{self._path} cannot be written: {error.strerror or error}"
            return False
        self._written, self.fault = content, ""
        return True


_decoder = msgspec.json.Decoder(Spool)
