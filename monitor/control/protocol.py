"""The protocol between commands and the daemon: one request and one reply per connection, each one line of JSON.

Addresses are text and times are seconds since the epoch, so that people and scripts can read the protocol.
"""

from typing import Any, Literal, TypeAlias, get_args

import msgspec

from monitor.control.fleet_requests import FleetPardon, FleetStatus, FleetTrust
from monitor.model.errors import NodewardenError
from monitor.model.printable import printable

MAX_REQUEST_BYTES = 1 << 20
MAX_PAGE = 5000
MIN_BANTIME_S = 1.0
MAX_BANTIME_S = 10 * 365 * 86400.0
SHORTEST_TRIAL_S, LONGEST_TRIAL_S = 10.0, 86_400.0
MAX_EVENTS_PAGE = 256
MAX_HISTORY_PAGE = 500
MAX_TOP = 200

SetWord: TypeAlias = Literal["ban", "shun", "egress"]
"""Drop everything from a source, drop only its new connections, or drop new connections to a destination."""
SET_WORDS: tuple[SetWord, ...] = get_args(SetWord)


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """Request the status of the daemon."""


class Doctor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="doctor"):
    """Request the self-check: what the daemon may do on this node, what is missing and how to repair it."""


class ListBans(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="list"):
    """Request one page of the sorted bans that match all filters; the result also has their total number.

    `cursor` of the result, unless empty, asks for the next page in a request that repeats the rest.
    """

    observed: bool = False
    """Include bans that are only observed."""
    foreign: bool = False
    """Include, after all bans, elements of the sets that other programs added: their `origin` is `foreign`."""
    detector: str = ""
    set: SetWord | Literal[""] = ""
    """Only bans of this set."""
    within: str = ""
    """Only networks that overlap this one."""
    sort: Literal["since", "ends", "network"] = "since"
    offset: int = 0
    limit: int = MAX_PAGE
    cursor: str = ""


class RequestedBan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ban to add."""

    network: str
    bantime_s: float
    reason: str = ""
    set: SetWord = "ban"
    ports: list[str] = []
    """Limits it to ports, such as `tcp/22`; none: all of them."""


class BanOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ban"):
    """Add bans; the reply has a result for each."""

    bans: list[RequestedBan]
    origin: Literal["operator", "import"] = "operator"
    """The origin of the claims: imports never use the reserve for detectors and operators."""
    fleet: bool = False
    """On all nodes of the fleet."""


class Unban(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unban"):
    """Lift bans, all of them with `everything`."""

    networks: list[str] = []
    everything: bool = False


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="why"):
    """Request what is known about an address or network."""

    network: str


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="history"):
    """Request a page of the history, newest first.

    The result has `entries` and `before`, the place of the next page, which is null after the last one.
    """

    since_s: float
    """Seconds since the epoch, as `until_s`, which is not included."""
    until_s: float
    not_banned: bool = False
    """Only what was observed or spared."""
    detector: str = ""
    source: str = ""
    """Only networks that overlap this one."""
    before: tuple[float, int] | None = None
    limit: int = MAX_HISTORY_PAGE


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="report"):
    """Request what the history amounts to; the fields are those of `History`."""

    since_s: float
    until_s: float
    not_banned: bool = False
    detector: str = ""
    source: str = ""


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="events"):
    """Request a page of the events with a higher number than `after`, oldest first; a reader repeats it to follow them.

    The result has `events` (at most MAX_EVENTS_PAGE), `run` (differs after a restart, when numbers start from 1 again),
    `last` (the `after` of the next request), `more` (whether there may be more already) and `lost` (how many events
    after `after` are no longer kept).
    """

    after: int = 0
    since_s: float | None = None
    """Only events of this time and later, seconds since the epoch."""
    run: str = ""
    """If given: `after` is a number of this run. A daemon that stopped in order left its events to the next one, which
    first has what came after it there, then its own from the start on. `run` of the result says of which run a page is.
    """


class Top(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="top"):
    """Request who is closest to a threshold, and what is dropped, for `nodewarden top`.

    The result has `sources` (network, detector, mode, count, maxretry, whether it is allowlisted or banned, closest
    first), `dropped_packets` (by the kernel's reason), `pod_dropped_packets` (by `namespace/pod`), `lag_s` (by source
    of evidence), `bans` (by set), `enforces` (whether any detector does), `problems` and `time_s`. Counts are since the
    start: rates are the reader's.
    """

    limit: int = 20


class AllowList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-list"):
    """Request the networks that are never banned, with reasons."""


class AllowAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-add"):
    """Add networks to the allowlist, kept across restarts; bans inside them are lifted."""

    networks: list[str]
    reason: str = ""


class AllowRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-remove"):
    """Remove networks that were added by AllowAdd."""

    networks: list[str]


class AllowTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="allow-test"):
    """Request whether a network could be banned."""

    network: str


class Flush(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="flush"):
    """Lift all bans and delete the table."""


class ListsLoaded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lists-loaded"):
    """Take that new copies of these block lists are on disk."""

    names: list[str]


class ListsStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lists-status"):
    """Request what the daemon knows of its block lists.

    The result has an object for each list, with `name`, `entries` (in force), `dropped` (taken out by the allowlist),
    `hits` (packets since the table was made), `mode` and `problem`, which is empty if there is none.
    """


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="record"):
    """Start or stop the recording, which is remembered across restarts; without either, request how it is going."""

    action: Literal["state", "start", "stop"] = "state"


class Reload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="reload"):
    """Reload the configuration."""


class Apply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="apply"):
    """Put a configuration in force on trial; the daemon goes back automatically unless it is confirmed in time."""

    name: str
    """The file as the operator named it, for messages."""
    content: str
    within_s: float
    place: str = ""
    """The name that it would have in conf.d; empty: it stands for the whole main file."""
    known_good: list[str] = []
    """Networks that must not be banned under it, in addition to those that the daemon knows."""


class ApplyConfirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="apply-confirm"):
    """Keep the trial configuration, which the files on disk say by now."""


class ApplyBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="apply-back"):
    """Go back to the configuration before the trial."""


class ApplyStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="apply-status"):
    """Request the trial configuration that waits, and how the last one ended."""


TrialRequest: TypeAlias = Apply | ApplyConfirm | ApplyBack | ApplyStatus
FleetRequest: TypeAlias = FleetStatus | FleetPardon | FleetTrust
ListsRequest: TypeAlias = ListsLoaded | ListsStatus
Request: TypeAlias = (Status | Doctor | ListBans | BanOrder | Unban | Why | Events | History | Report | Top) | (
    AllowList
    | AllowAdd
    | AllowRemove
    | AllowTest
    | Flush
    | Record
    | Reload
    | TrialRequest
    | FleetRequest
    | ListsRequest
)


class Reply(msgspec.Struct, frozen=True):
    """The reply to a request: `result` on success, otherwise `error`, a sentence for the operator."""

    ok: bool
    result: Any = None
    error: str = ""
    is_configuration: bool = False
    """Whether the configuration is what must be changed."""


_request_decoder = msgspec.json.Decoder(Request)
_reply_decoder = msgspec.json.Decoder(Reply)


class MalformedRequest(NodewardenError):  # noqa: N818 - like MalformedRecord
    """The line is no request; the message is for whoever sent it."""


def decode_request(line: bytes) -> Request:
    """Decode a request; MalformedRequest if it is no JSON, no request of this version, not UTF-8, or nested deeply."""
    try:
        request: Request = _request_decoder.decode(line)
    except RecursionError:
        raise MalformedRequest("not a request of this version: it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"not a request of this version: {error}") from None
    return request


def decode_reply(line: bytes) -> Reply:
    """Decode a reply; ValueError (msgspec.DecodeError, UnicodeDecodeError) or RecursionError if it is none."""
    return _reply_decoder.decode(line)


def encode(message: Request | Reply) -> bytes:
    """Encode a message as one line; UnicodeEncodeError for a request with text that is not UTF-8."""
    return msgspec.json.encode(message) + b"\n"


def encode_reply(reply: Reply) -> bytes:
    """Encode a reply as one line. Names of files need not be UTF-8: none of them may keep `status` from answering."""
    try:
        return encode(reply)
    except UnicodeEncodeError:
        return encode(Reply(**_escaped(msgspec.to_builtins(reply))))


def _escaped(value: Any) -> Any:
    """Return the value with its texts escaped where they are not printable."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {_escaped(key): _escaped(one) for key, one in value.items()}
        case list() | tuple():
            return [_escaped(one) for one in value]
        case _:
            return value
