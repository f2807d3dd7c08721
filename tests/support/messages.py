"""Messages for channels, and texts that attackers would write."""

from pathlib import Path

from monitor.notify.message import Item, Kind, Message, Urgency
from monitor.notify.registration import Place

NOW_S = 1_790_000_000.0

HOSTILE = (
    '", "content": "x", "y": "',
    "@everyone @here @channel @all <!channel> <!everyone> <@U123> <@&456> <#C1> <subteam^S1>",
    "[click](https://evil.example/) <https://evil.example|bank> **bold** `code` ```\nblock",
    "\r\nBcc: victim@example.org\r\n\r\n.\r\nQUIT\r\n",
    "\x1b[31mred\x1b[0m \u202e \u200b \0 \x7f \ud800",
    "{{ 7*7 }}{% for x in y %}${7*7}",
    '|=\\ ]" a=b c|d \\n',
    "$(touch /tmp/owned); `id` && rm -rf /",
    "x" * (1 << 20),
)


def item(text: str = "banned 192.0.2.7 for 1 h", **changes: object) -> Item:
    """Return an event; `changes` are other fields."""
    fields = {"time_s": NOW_S, "network": "192.0.2.7", "reason": "5 failures", "detector": "sshd", "set": "ban",
              "strength": "proven", "until_s": NOW_S + 3600, "why": "nodewarden why 192.0.2.7"}  # fmt: skip
    return Item(text=text, **(fields | changes))  # type: ignore[arg-type]


def message(*items: Item, kind: Kind = Kind.BAN, title: str = "node1: banned 192.0.2.7", **changes: object) -> Message:
    """Return a message about some events, one if none are given."""
    some = items or (item(),)
    fields = {"host": "node1", "urgency": Urgency.INFO, "group": "ban sshd ban", "count": len(some), "since_s": NOW_S,
              "time_s": NOW_S}  # fmt: skip
    return Message(kind=kind, title=title, items=some, **(fields | changes))  # type: ignore[arg-type]


def hostile(text: str) -> Message:
    """Return a message all of whose texts an attacker wrote."""
    one = item(text, network=text, reason=text, detector=text, set=text, strength=text, why=text)
    return message(one, title=text, group=text, host=text, count=3, event={"text": text, text: [text]})


def place(directory: Path, host: str = "node1") -> Place:
    """Return where a channel works."""
    return Place(host=host, directory=directory)
