"""What channels for people say about a message, and the bounds of all texts. Pure."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.model.printable import printable
from monitor.notify.message import Item, Message

LONGEST_TITLE = 200
_LONGEST_TEXT = 2000
_LONGEST_LINE = 500
_MAX_ITEMS = 50
_MAX_DEPTH = 5
_MAX_MEMBERS = 100
_FAR_S = 253402300000.0
"""The end of the year 9999: later times have no date."""


def bounded(message: Message) -> Message:
    """Return a message whose texts have at most 2,000 characters each, all of which UTF-8 can write."""
    items = tuple(_bounded_item(item) for item in message.items[-_MAX_ITEMS:])
    return msgspec.structs.replace(
        message,
        host=_clean(message.host),
        group=_clean(message.group),
        title=_clean(message.title),
        items=items,
        event=_bounded_value(message.event, _MAX_DEPTH),
    )


def _bounded_item(item: Item) -> Item:
    texts = {name: _clean(value) for name in item.__struct_fields__ if isinstance(value := getattr(item, name), str)}
    return msgspec.structs.replace(item, **texts)


def _bounded_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        some = list(value.items())[:_MAX_MEMBERS] if depth else []
        return {_clean(str(name)): _bounded_value(one, depth - 1) for name, one in some}
    if isinstance(value, list | tuple):
        return [_bounded_value(one, depth - 1) for one in value[:_MAX_MEMBERS]] if depth else []
    return value if value is None or isinstance(value, bool | int | float) else _clean(str(value))


def _clean(text: str) -> str:
    """Cut a text, and replace what is no character: half a surrogate pair."""
    return cut(text, _LONGEST_TEXT).encode("utf-8", "replace").decode()


def cut(text: str, longest: int) -> str:
    """Return at most this many characters of a text, with a sign that it was longer."""
    return text if len(text) <= longest else text[: max(longest - 1, 0)] + "…"


def shown(message: Message) -> Message:
    """Return a message for people: bounded, each text one line without characters that control a terminal."""
    message = bounded(message)
    items = tuple(
        msgspec.structs.replace(
            item,
            **{
                name: cut(printable(value), _LONGEST_LINE)
                for name in item.__struct_fields__
                if isinstance(value := getattr(item, name), str)
            },
        )
        for item in message.items
    )
    return msgspec.structs.replace(
        message,
        host=cut(printable(message.host), _LONGEST_LINE),
        group=cut(printable(message.group), _LONGEST_LINE),
        title=cut(printable(message.title), LONGEST_TITLE),
        items=items,
    )


def lines(message: Message) -> Iterator[str]:
    """Yield what a mail says, line by line. `message` is one that is `shown`."""
    if not _repeats_title(message):
        yield message.title
        yield ""
    for item in message.items:
        yield f"{utc(item.time_s)}  {item.text}"
        if item.until_s:
            yield f"    until {utc(item.until_s)}"
        if item.strength:
            yield f"    evidence: {item.strength}"
        if item.why:
            yield f"    {item.why}"
    yield from remainder(message)
    yield ""
    yield f"host {message.host}, {utc(message.time_s)}"


def _repeats_title(message: Message) -> bool:
    """Whether all that the title says, which is the subject of a mail, is said again by the only event."""
    texts = [f"{message.host}: {item.text}" for item in message.items]
    return len(texts) == 1 and texts[0].startswith(message.title.removesuffix("…"))


def remainder(message: Message) -> Iterator[str]:
    """Yield how many more events a message stands for."""
    if (more := message.count - len(message.items)) > 0:
        yield f"and {more} more since {utc(message.since_s)}"
    if message.unseen > 0:
        yield f"and {message.unseen} more of which nothing else is known"


def utc(time_s: float) -> str:
    """Write a time, RFC 3339 in UTC; one that no calendar has is `never`."""
    if not 0 <= time_s < _FAR_S:  # false for what is no number, too
        return "never"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))
