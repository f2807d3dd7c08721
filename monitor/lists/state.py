"""What is known of the attempts to renew a list, in `STATE/lists/NAME.state`; the daemon reports its fault."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.files.regular import read_regular
from monitor.files.replaced import replace_file
from monitor.lists.file import MODE
from monitor.lists.reading import Account

MAX_BYTES = 65_536
_RETRY_S = 3600.0
_Text = Annotated[str, Meta(max_length=2048)]
_name = re.compile(r"([a-z0-9][a-z0-9_-]{0,31})\.(list|state)").fullmatch


class ListState(msgspec.Struct, kw_only=True):
    """The state of one list; times are wall time in seconds since the epoch, 0: never."""

    v: int = 1
    name: _Text = ""
    source: _Text = ""
    """The URL without its query, or the path."""
    origin: _Text = ""
    """Digest of what the content depends on: source and format. Another one starts anew."""
    policy: _Text = ""
    """Digest of what is taken of the content: only while it is the same, `not modified` renews the copy."""
    checked_s: float = 0.0
    """The last attempt."""
    fetched_s: float = 0.0
    """The last success."""
    failures: int = 0
    """Attempts without success since then."""
    fault: _Text = ""
    """What keeps the list from being renewed, for people; empty: nothing."""
    cause: _Text = ""
    """Its kind, a word for metrics (`ListCause`)."""
    fault_since_s: float = 0.0
    etag: _Text = ""
    last_modified: _Text = ""
    account: Account = msgspec.field(default_factory=Account)
    """Of the last success."""

    def due_s(self, every_s: float) -> float:
        """Return when the next attempt may be made: after a fault an hour later, then less and less often."""
        if not self.checked_s:
            return 0.0
        pause_s = min(every_s, _RETRY_S * 2.0 ** min(self.failures - 1, 16)) if self.failures else every_s
        return self.checked_s + max(pause_s, _RETRY_S)


def state_path(state: Path, name: str) -> Path:
    """Return where the state of a list is, given the state directory."""
    return state / "lists" / f"{name}.state"


def read_state(path: Path) -> ListState:
    """Return what is known; nothing if there is no such file, or if it cannot be read as one."""
    try:
        content = read_regular(path, MAX_BYTES)
        return _decoder.decode(content) if len(content) <= MAX_BYTES else ListState()
    except (OSError, ValueError, RecursionError):
        return ListState()


def write_state(path: Path, state: ListState) -> None:
    """Replace the state; OSError if that fails."""
    replace_file(path, msgspec.json.encode(state), mode=MODE)


def names_on_disk(directory: Path) -> set[str]:
    """Return the names of the lists that have files in a directory; OSError if it cannot be read."""
    if not directory.exists():
        return set()
    return {found[1] for path in directory.iterdir() if (found := _name(path.name))}


_decoder = msgspec.json.Decoder(ListState)
