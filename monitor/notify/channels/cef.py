"""ArcSight's Common Event Format, version 0 (CEF implementation standard, revision 26). Pure."""

import re

from monitor import __version__
from monitor.notify.channels import wording
from monitor.notify.message import Item, Kind, Message, Urgency

_CUT = {"msg": 1000, "reason": 1000}
_LONGEST = 255
_SEVERITIES = {Urgency.INFO: 4, Urgency.WARNING: 6, Urgency.CRITICAL: 9}
_IPV4 = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def record(message: Message, item: Item | None) -> str:
    """Return one event of a message, or what it counts without naming it (`item` None). The message is `shown`."""
    name = message.title if item is None else item.text
    kind = str(message.kind) if item is None or message.kind is not Kind.BAN else f"ban {item.detector}".strip()
    header = ["CEF:0", "nodewarden", "nodewarden", __version__, kind, name, str(_SEVERITIES[message.urgency])]
    fields = _fields(message, item)
    extension = " ".join(f"{key}={_value(key, value)}" for key, value in fields.items() if value)
    return "|".join([header[0], *map(_header, header[1:]), extension])


def _fields(message: Message, item: Item | None) -> dict[str, str]:
    host = {"dvchost": message.host, "cat": message.group}
    if item is None:
        more = "; ".join(wording.remainder(message))
        count = str(max(message.count - len(message.items), 0) + max(message.unseen, 0))
        return host | {"rt": _milliseconds(message.time_s), "start": _milliseconds(message.since_s), "cnt": count,
                       "msg": more}  # fmt: skip
    fields = host | {"rt": _milliseconds(item.time_s), "msg": item.text, "reason": item.reason, "act": item.set}
    if _IPV4.fullmatch(item.network):
        fields["src"] = item.network
    elif _IPV6.fullmatch(item.network):
        fields |= {"c6a2": item.network, "c6a2Label": "Source IPv6 Address"}
    for number, label, value in (
        (1, "network", item.network), (2, "detector", item.detector), (3, "evidence", item.strength),
        (4, "why", item.why),
    ):  # fmt: skip
        if value:
            fields |= {f"cs{number}Label": label, f"cs{number}": value}
    if item.until_s:
        fields |= {"deviceCustomDate1Label": "until", "deviceCustomDate1": _milliseconds(item.until_s)}
    return fields


def _milliseconds(time_s: float) -> str:
    return str(int(time_s * 1000)) if 0 < time_s < 1e11 else ""


def _header(text: str) -> str:
    """Escape a field of the header: `|` separates them."""
    return wording.cut(text, _LONGEST).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " ")


def _value(key: str, text: str) -> str:
    """Escape a value: `=` ends a key."""
    text = wording.cut(text, _CUT.get(key, _LONGEST)).replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")
