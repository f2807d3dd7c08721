"""Follows the events of the daemon across its restarts, and across those of the notifier."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from monitor.model.errors import NodewardenError
from monitor.notify.spool import Cursor

_BEYOND = 1 << 53
"""No event has a number as high: whoever asks for what comes after it learns where the daemon is, and gets none."""


class Ask(Protocol):
    """Asks the daemon for a page of events."""

    def __call__(self, after: int, run: str = "") -> Mapping[str, Any]:
        """Return the events after a number, of `run` if given (see `control.protocol.Events`). NodewardenError."""
        ...


class Heard(NamedTuple):
    """A page of events."""

    events: list[dict[str, Any]]
    unseen: int
    """How many more there were of which people could be notified, and which the daemon no longer keeps."""
    has_more: bool


NOTHING = Heard([], 0, has_more=False)


class Following:
    """Asks for pages. The first time it starts with what is new; later where it was."""

    def __init__(self, ask: Ask, cursor: Cursor | None) -> None:
        """`cursor` is what an earlier run knew."""
        self._ask = ask
        self.cursor = cursor

    def next(self) -> Heard:
        """Return what happened since; raises what `ask` raises, and ValueError for an answer that is none."""
        if self.cursor is None:
            self._advance(self._ask(_BEYOND))
            return NOTHING
        page = self._ask(self.cursor.last)
        if page.get("run") != self.cursor.run:  # the daemon was restarted
            page = self._after_restart(self.cursor)
        return self._advance(page)

    def _after_restart(self, cursor: Cursor) -> Mapping[str, Any]:
        """Return what came after the cursor in its run, if that was left to the daemon; else all that this one has."""
        try:
            return self._ask(cursor.last, cursor.run)
        except NodewardenError:  # a daemon of an older version has only its own events
            return self._ask(0)

    def _advance(self, page: Mapping[str, Any]) -> Heard:
        match page:
            case {"run": str(run), "last": int(last), "more": bool(more), "lost": int(lost), "events": list(events)}:
                self.cursor = Cursor(run=run, last=last)
                news = page.get("lost_news")  # a daemon of an older version counts all events only
                unseen = news if isinstance(news, int) else lost
                return Heard([one for one in events if isinstance(one, dict)], max(0, unseen), more)
        raise ValueError("the daemon's answer is no page of events")
