"""Which events people are notified of, and what is said of one: from the objects of `nodewarden events --json`.

Only what this node decided is news. A ban that the daemon restores, takes over from the kernel, a list, an import, a
peer or CrowdSec is none, nor are longer bans and ends. The objects come from the daemon, but hold text of attackers: it
is cut, and control characters in it are escaped. Markup is for the channels to escape.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.model.printable import printable
from monitor.notify.message import Item, Kind, Urgency
from monitor.notify.sections.base import EventKind

_OUR_ORIGINS = ("detector", "operator")
_LONGEST = 1000
_NAME_CHARS = 64


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """One event that may be worth a message."""

    kind: Kind
    asked_for_as: EventKind
    urgency: Urgency
    group: str
    detector: str = ""
    set: str = ""
    item: Item | None = None
    """None: nothing is known but how many there were."""
    unseen: int = 0
    event: dict[str, Any] = {}

    @property
    def counts(self) -> int:
        """Whether it is one known event, or only a number of unknown ones."""
        return int(self.item is not None)


def noted(event: Mapping[str, Any]) -> Noted | None:
    """Return what there is to say of an event; None if it is no news, or cannot be understood."""
    match event.get("event"):
        case "ban" if event.get("origin") in _OUR_ORIGINS:
            return _ban(event, Kind.BAN, EventKind.BAN)
        case "observe" | "over_budget" if event.get("origin") in _OUR_ORIGINS:
            return _ban(event, Kind.BAN, EventKind.OBSERVE)
        case "problem" | "problem_over" as word:
            return _problem(event, Kind(word))
        case "flood":
            detector = _name(event, "detector")
            return _other(event, Kind.FLOOD, EventKind.FLOOD, f"flood {detector}", detector=detector)
        case "table_change" | "clock_step" | "trial" as word:
            return _other(event, Kind.OTHER, EventKind.OTHER, f"other {word}")
    return None


def unseen(count: int) -> Noted:
    """Return that events happened of which nothing else is known."""
    return Noted(
        kind=Kind.OTHER,
        asked_for_as=EventKind.OTHER,
        urgency=Urgency.CRITICAL,
        group="unseen",
        unseen=count,
    )


def problem(text: str, time_s: float, *, is_over: bool) -> Noted:
    """Return a problem that the notifier itself noticed, such as a daemon that does not answer."""
    word = Kind.PROBLEM_OVER if is_over else Kind.PROBLEM
    return _problem({"event": word, "time_s": time_s, "text": text}, word)


def _ban(event: Mapping[str, Any], kind: Kind, asked: EventKind) -> Noted:
    network, detector, word = _text(event, "network"), _name(event, "detector"), _name(event, "set")
    strength, reason, until_s = _name(event, "strength"), _text(event, "reason"), _number(event, "until_s")
    ports = event.get("ports")
    target = f"{network} ({', '.join(map(str, ports[:16]))})" if isinstance(ports, list) and ports else network
    would = "would " if asked is EventKind.OBSERVE else ""
    text = f"{would}{word} {target} by {detector}"  # channels add end and evidence
    item = Item(
        time_s=_number(event, "time_s"),
        text=printable(f"{text}: {reason}" if reason else text)[:_LONGEST],
        network=network,
        reason=reason,
        detector=detector,
        set=word,
        strength=strength,
        until_s=until_s,
        why=f"nodewarden why {network}",
    )
    return Noted(
        kind=kind,
        asked_for_as=asked,
        urgency=Urgency.INFO,
        group=f"{asked} {detector} {word}",
        detector=detector,
        set=word,
        item=item,
        event=dict(event),
    )


def _problem(event: Mapping[str, Any], kind: Kind) -> Noted:
    said = event.get("text")
    text = _text({"text": " ".join(said.split())}, "text") if isinstance(said, str) else ""
    words = "problem over" if kind is Kind.PROBLEM_OVER else "problem"
    return Noted(
        kind=kind,
        asked_for_as=EventKind.PROBLEM,
        urgency=Urgency.CRITICAL,
        group="problem",
        item=Item(time_s=_number(event, "time_s"), text=f"{words}: {text}", reason=text, why="nodewarden status"),
        event=dict(event),
    )


def _other(event: Mapping[str, Any], kind: Kind, asked: EventKind, group: str, detector: str = "") -> Noted:
    match event["event"]:
        case "flood":
            text = f"flood ({detector}): {_text(event, 'text')}"
        case "table_change":
            count = int(_number(event, "count"))
            text = f"{_text(event, 'author')} changed the table: {_text(event, 'kind')} ({count} times)"
        case "trial":
            text = f"trial configuration {_text(event, 'name')}: {_text(event, 'text')}"
        case _:
            text = f"the clock was set; {int(_number(event, 'bans'))} claims keep the time they had left"
    item = Item(
        time_s=_number(event, "time_s"), text=printable(text)[:_LONGEST], detector=detector, why="nodewarden events"
    )
    return Noted(
        kind=kind,
        asked_for_as=asked,
        urgency=Urgency.INFO if event["event"] in ("clock_step", "trial") else Urgency.WARNING,
        group=group,
        detector=detector,
        item=item,
        event=dict(event),
    )


def _text(event: Mapping[str, Any], key: str) -> str:
    value = event.get(key)
    return printable(value[:_LONGEST])[:_LONGEST] if isinstance(value, str) else ""


def _name(event: Mapping[str, Any], key: str) -> str:
    return _text(event, key)[:_NAME_CHARS]


def _number(event: Mapping[str, Any], key: str) -> float:
    value = event.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e15 else 0.0
