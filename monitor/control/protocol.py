"""What commands and the daemon say to each other: one JSON object a line, each way once per connection.

Addresses and times are text and seconds since the epoch here: the protocol is read by people and by scripts.
"""

from typing import Any, Literal, TypeAlias, get_args

import msgspec

MAX_REQUEST_BYTES = 1 << 20
MAX_PAGE = 5000

SetWord: TypeAlias = Literal["ban", "shun", "egress"]
"""Drop everything from a source, refuse only its new connections, or refuse new connections to a destination."""
SET_WORDS: tuple[SetWord, ...] = get_args(SetWord)


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """Ask how the daemon is."""


class Doctor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="doctor"):
    """Ask what the daemon may do here, what is missing and what repairs it."""


class ListBans(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="list"):
    """Ask for bans: those of all the given kinds, sorted, a page of them; the result also has the number of all."""

    observed: bool = False
    """Also those that are only observed."""
    detector: str = ""
    set: SetWord | Literal[""] = ""
    """Only of this kind."""
    within: str = ""
    """Only networks that overlap this one."""
    sort: Literal["since", "ends", "network"] = "since"
    offset: int = 0
    limit: int = MAX_PAGE


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ban that somebody wants."""

    network: str
    bantime_s: float
    reason: str = ""
    set: SetWord = "ban"


class BanOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ban"):
    """Order bans; each gets an answer of its own."""

    bans: list[Wanted]
    origin: Literal["operator", "import"] = "operator"
    """Whose claims they become: imports never fill the room kept for detectors and operators."""


class Unban(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unban"):
    """End bans, all of them with `everything`."""

    networks: list[str] = []
    everything: bool = False


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="why"):
    """Ask what is known of an address or network."""

    network: str


class AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-list"):
    """Ask what is never banned, and why."""


class AllowAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-add"):
    """Allow networks from now on, across restarts; bans inside them end."""

    networks: list[str]
    reason: str = ""


class AllowRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-remove"):
    """Take back what AllowAdd allowed."""

    networks: list[str]


class AllowTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-test"):
    """Ask whether a network could be banned."""

    network: str


class Flush(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="flush"):
    """End all bans and remove the table."""


class Reload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reload"):
    """Read the configuration again."""


Request: TypeAlias = (Status | Doctor | ListBans | BanOrder | Unban | Why) | (
    AllowList | AllowAdd | AllowRemove | AllowTest | Flush | Reload
)


class Reply(msgspec.Struct, frozen=True):
    """An answer: `result` if all went well, else `error`, a sentence for people."""

    ok: bool
    result: Any = None
    error: str = ""


_request_decoder = msgspec.json.Decoder(Request)
_reply_decoder = msgspec.json.Decoder(Reply)


def decode_request(line: bytes) -> Request:
    """Read a request; msgspec.DecodeError (of which ValidationError is one) says what is wrong with it."""
    request: Request = _request_decoder.decode(line)
    return request


def decode_reply(line: bytes) -> Reply:
    """Read a reply; msgspec.DecodeError if it is none."""
    return _reply_decoder.decode(line)


def encode(message: Request | Reply) -> bytes:
    """Write a message as one line."""
    return msgspec.json.encode(message) + b"\n"
