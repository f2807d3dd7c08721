"""What the sections of all kinds of channels share."""

import enum
import re
from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import DETECTOR_NAME, ValueKind, integer, path
from monitor.config.shapes import Section
from monitor.notify.message import Urgency

_PATH = path()
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def _read_secret_place(value: str) -> str:
    """Read where a secret is kept; ValueError says what is wrong, without the value: it may be the secret itself."""
    if not value or _CREDENTIAL.fullmatch(value):
        return value
    if not value.startswith("/"):
        raise ValueError("expected an absolute path, or the name of a credential (LoadCredential= of the unit)")
    return str(_PATH.read(value))


SECRET: ValueKind[str] = ValueKind(
    "absolute path, name of a credential, or empty",
    _read_secret_place,
    str,
    {"type": "string", "pattern": f"^(/.*|{_CREDENTIAL.pattern})?$", "maxLength": 4095},
)
"""Where a secret is kept: a file, or a credential that systemd hands to the unit. Keys of this kind end in `_file`."""


class EventKind(enum.StrEnum):
    """The kinds of events that a channel may ask for."""

    BAN = "ban"
    OBSERVE = "observe"
    PROBLEM = "problem"
    FLOOD = "flood"
    OTHER = "other"


class Direction(enum.StrEnum):
    """The sets of bans."""

    BAN = "ban"
    SHUN = "shun"
    EGRESS = "egress"


class ChannelSettings(Section, frozen=True, kw_only=True):
    """What each channel has."""

    events: Annotated[
        tuple[EventKind, ...],
        Meta(
            description="What it is notified of. `ban`: new bans. `observe`: what would have been a ban. `problem`: "
            "problems of `nodewarden status`, and their end. `flood`: floods from forged sources. `other`: changes of "
            "the table by other programs, of the clock, and of trial configurations."
        ),
    ] = (EventKind.BAN, EventKind.PROBLEM, EventKind.FLOOD, EventKind.OTHER)
    detectors: Annotated[
        tuple[Annotated[str, DETECTOR_NAME], ...],
        Meta(description="Only bans and floods of these detectors; `manual` is the operator. Empty: of all."),
    ] = ()
    sets: Annotated[tuple[Direction, ...], Meta(description="Only bans in these sets. Empty: in all of them.")] = ()
    urgency: Annotated[
        Urgency,
        Meta(
            description="The least urgent message that is sent: bans are `info`, floods and changes of the table "
            "`warning`, problems `critical`; the end of a problem is sent wherever its start is."
        ),
    ] = Urgency.INFO
    max_per_hour: Annotated[
        int,
        integer(0, 10_000),
        Meta(description="At most this many messages within an hour; the next one says how many more there were. 0: "
             "`notify.max_per_hour`."),
    ] = 0  # fmt: skip
