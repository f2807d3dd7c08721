"""Older events, packed: 256 of them take 13 to 50 kB as JSON with zlib, instead of 330 kB as objects."""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from monitor.model.printable import printable
from monitor.notify.events import is_news

PAGE = 256
_FAST = 1


class EventPage(NamedTuple):
    """Events that follow each other."""

    last: int
    """The number of the newest."""
    newest_s: float
    size: int
    news: int
    """A bit for each event, the lowest for the first: whether people could be notified of it."""
    content: bytes

    def news_after(self, number: int) -> int:
        """Return how many events with a higher number are news."""
        return (self.news >> max(0, number - (self.last - self.size))).bit_count()

    def events(self) -> list[dict[str, Any]]:
        """Unpack them: this takes half a millisecond."""
        events: list[dict[str, Any]] = msgspec.json.decode(zlib.decompress(self.content))
        return events


def pack(events: Sequence[dict[str, Any]]) -> EventPage:
    """Pack events: this takes 2 ms for 256 of them. Text that is not UTF-8 is escaped."""
    try:
        content = msgspec.json.encode(events)
    except UnicodeEncodeError:
        content = msgspec.json.encode(_escaped(msgspec.to_builtins(events)))
    return EventPage(
        last=events[-1]["number"],
        newest_s=max(event["time_s"] for event in events),
        size=len(events),
        news=sum(1 << place for place, event in enumerate(events) if is_news(event)),
        content=zlib.compress(content, _FAST),
    )


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return printable(value)
        case dict():
            return {key: _escaped(one) for key, one in value.items()}
        case list():
            return [_escaped(one) for one in value]
        case _:
            return value
