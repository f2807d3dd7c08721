"""Groups events: the first of a group is a message at once, what follows is one digest each few minutes.

A group is what the operator configured: a detector and a set. Attackers cannot name new ones, and beyond MAX_GROUPS all
kinds of events have one more. Each event is in exactly one message. All times are given, so tests need no clock.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from monitor.notify.events import Noted
from monitor.notify.message import Item, Kind, Message

MAX_GROUPS = 256
MAX_ITEMS = 10
"""The newest events that a digest names."""


class Pending(msgspec.Struct, kw_only=True):
    """A group that had a message, and what happened in it since."""

    like: Noted
    """An event of the group: what is the same for all."""
    due_s: float
    count: int = 0
    unseen: int = 0
    since_s: float = 0.0
    items: list[Item] = []


class Grouping:
    """Turns events into messages. `open` is all that it knows; it can be saved and given back."""

    def __init__(self, host: str, every_s: float, pending: dict[str, Pending] | None = None) -> None:
        """`every_s` is the time between digests of a group; `pending` is what an earlier run knew."""
        self._host = host
        self.every_s = every_s
        self.pending = pending or {}

    def take(self, event: Noted, now_s: float) -> tuple[Noted, Message] | None:
        """Take an event; return its message if it is the first of its group, or a problem, which never waits."""
        if event.kind in (Kind.PROBLEM, Kind.PROBLEM_OVER):
            return event, single(self._host, event, now_s)
        group = self.pending.get(event.group)
        if group is None and len(self.pending) >= MAX_GROUPS:
            event = replace(event, group=f"{event.asked_for_as} of further groups", detector="", set="")
            group = self.pending.get(event.group)
        if group is None:
            bare = replace(event, event={}, item=None, unseen=0)
            self.pending[event.group] = Pending(like=bare, due_s=now_s + self.every_s)
            return event, single(self._host, event, now_s)
        if not group.count and not group.unseen:
            group.since_s = event.item.time_s if event.item else now_s
        group.count += event.counts
        group.unseen += event.unseen
        if event.item:
            group.items = [*group.items[1 - MAX_ITEMS :], event.item]
        return None

    def due(self, now_s: float) -> list[tuple[Noted, Message]]:
        """Return the digests that are due; a group in which nothing happened is closed."""
        messages = []
        for name, group in list(self.pending.items()):
            if now_s < group.due_s <= now_s + 2 * self.every_s:
                continue  # a time that is further away is one of before the clock was set
            if group.count or group.unseen:
                messages.append((group.like, self._digest(group, now_s)))
                self.pending[name] = Pending(like=group.like, due_s=now_s + self.every_s)
            else:
                del self.pending[name]
        return messages

    def _digest(self, group: Pending, now_s: float) -> Message:
        like = group.like
        if group.count + group.unseen == 1 and group.items:
            title = group.items[0].text
        else:
            title = f"{_counted(like, group.count, group.unseen)} in {_minutes(now_s - group.since_s)}"
        return Message(
            host=self._host,
            kind=like.kind,
            urgency=like.urgency,
            group=like.group,
            title=f"{self._host}: {title}",
            items=tuple(group.items),
            count=group.count,
            unseen=group.unseen,
            since_s=group.since_s,
            time_s=now_s,
            is_digest=True,
        )


def single(host: str, event: Noted, now_s: float) -> Message:
    """Return the message of one event."""
    item = event.item
    text = item.text if item else _counted(event, 0, event.unseen)
    return Message(
        host=host,
        kind=event.kind,
        urgency=event.urgency,
        group=event.group,
        title=f"{host}: {text}",
        items=(item,) if item else (),
        count=event.counts,
        unseen=event.unseen,
        since_s=item.time_s if item else now_s,
        time_s=now_s,
        event=event.event,
    )


def _counted(like: Noted, count: int, unseen: int) -> str:
    """Say how many events of a group there were."""
    parts = []
    if count:
        words = f"{like.asked_for_as} events" if like.kind is not Kind.BAN else _bans(like)
        parts.append(f"{count} {words}")
    if unseen:
        parts.append(f"{unseen} more events of which nothing else is known")
    return " and ".join(parts)


def _bans(like: Noted) -> str:
    would = "would-be bans" if like.asked_for_as == "observe" else "new bans"
    return f"{would} ({like.detector}, {like.set})" if like.detector else would


def _minutes(passed_s: float) -> str:
    minutes = max(1, round(passed_s / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def newest(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return as many items as a message names, the newest last."""
    return tuple(items[-MAX_ITEMS:])
