"""Bounds the messages of a channel within an hour: what is over the limit is counted, and one message says how many.

A fifth of the limit is kept for critical messages: whoever causes many bans must not silence the problems.
"""

import msgspec

from monitor.notify.grouping import newest
from monitor.notify.message import Item, Kind, Message, Urgency

HOUR_S = 3600.0
_URGENT_SHARE = 5


class Withheld(msgspec.Struct, kw_only=True):
    """What the limit kept back: how many messages, of how many events, and the newest of these."""

    messages: int = 0
    count: int = 0
    unseen: int = 0
    since_s: float = 0.0
    urgency: Urgency = Urgency.INFO
    items: list[Item] = []


class GateState(msgspec.Struct, kw_only=True):
    """What a gate knows: when messages passed within the last hour, and what it kept back."""

    passed_s: list[float] = []
    withheld: Withheld = msgspec.field(default_factory=Withheld)


class Gate:
    """Lets messages through, at most `limit` within any hour."""

    def __init__(self, host: str, limit: int, state: GateState | None = None) -> None:
        """`state` is what an earlier run knew."""
        self._host = host
        self.limit = limit
        self.state = state or GateState()

    def admit(self, message: Message, now_s: float) -> bool:
        """Return whether a message may pass; it is counted among those kept back otherwise."""
        if self._has_room(message.urgency, now_s):
            self.state.passed_s.append(now_s)
            return True
        withheld = self.state.withheld
        if not withheld.messages:
            withheld.since_s = message.since_s
        withheld.messages += 1
        withheld.count += message.count
        withheld.unseen += message.unseen
        withheld.urgency = _most(withheld.urgency, message.urgency)
        withheld.items = list(newest([*withheld.items, *message.items]))
        return False

    def due(self, now_s: float) -> Message | None:
        """Return the message about what was kept back, as soon as it may pass."""
        withheld = self.state.withheld
        if not withheld.messages or not self._has_room(withheld.urgency, now_s):
            return None
        self.state.passed_s.append(now_s)
        self.state.withheld = Withheld()
        events = withheld.count + withheld.unseen
        text = f"{events} more events, in {withheld.messages} messages over the limit of {self.limit} within an hour"
        return Message(
            host=self._host,
            kind=Kind.OTHER,
            urgency=withheld.urgency,
            group="over the limit",
            title=f"{self._host}: {text}",
            items=tuple(withheld.items),
            count=withheld.count,
            unseen=withheld.unseen,
            since_s=withheld.since_s,
            time_s=now_s,
            is_digest=True,
        )

    def _has_room(self, urgency: Urgency, now_s: float) -> bool:
        """Return whether one more message of this urgency may pass; times in the future are of before a clock step."""
        self.state.passed_s = [one for one in self.state.passed_s if now_s - HOUR_S < one <= now_s]
        kept = 0 if urgency is Urgency.CRITICAL else self.limit // _URGENT_SHARE
        return len(self.state.passed_s) < self.limit - kept


_ORDER = list(Urgency)


def _most(one: Urgency, other: Urgency) -> Urgency:
    return max(one, other, key=_ORDER.index)


def is_urgent_enough(urgency: Urgency, least: Urgency) -> bool:
    """Return whether a message is at least as urgent as a channel asks for."""
    return _ORDER.index(urgency) >= _ORDER.index(least)
