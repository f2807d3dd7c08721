"""What nodes tell each other, as MessagePack. Pure.

The owner of a record is the node whose key holds it, never a field. Times are those of the engine's clock: wall time
in seconds since the epoch. Records that are too large, malformed or of another version raise RecordError; whoever reads
counts them and goes on with the next.
"""

import enum
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from monitor.model.printable import printable

VERSION = 1
MAX_RECORD_BYTES = 1024
MAX_HELLO_BYTES = 4096
MAX_REASON = 128
MAX_NET = 720
"""Characters of a network with the most ports that a ban can have."""
NODE_NAME = r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?"
"""What a node may be called: a DNS label or name, lower case."""

T = TypeVar("T")
_Short = Annotated[str, Meta(max_length=MAX_REASON)]
_Name = Annotated[str, Meta(max_length=64)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Time = Annotated[float, Meta(ge=0.0, le=2.0**53)]


class RecordError(ValueError):
    """A record cannot be used; `cause` is a word for metrics."""

    def __init__(self, cause: str, text: str) -> None:
        """`cause`: `oversize`, `malformed` or `version`."""
        super().__init__(text)
        self.cause = cause


class SharedSet(enum.StrEnum):
    """The sets whose bans are shared; egress bans never are."""

    BAN = "ban"
    SHUN = "shun"


class BanRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A ban that a detector of the owner, or its operator for the whole fleet, decided."""

    v: int
    id: _Count
    """The owner's sequence number; a later one of the same network and set replaces this."""
    net: Annotated[str, Meta(max_length=MAX_NET)]
    """The network in text form, with ports if it is limited to some."""
    set: SharedSet
    since_s: _Time
    until_s: _Time
    detector: _Name
    reason: _Short
    count: _Count = 0
    maxretry: _Count = 0
    findtime_s: _Time = 0.0
    step: _Count = 0


class PardonRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A network that every node lets go, and that nobody adopts again until `until_s`."""

    v: int
    id: _Count
    net: Annotated[str, Meta(max_length=64)]
    at_s: _Time
    until_s: _Time
    reason: _Short = ""


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """What a node says of itself every 20 s; gone after 60 s. Digests tell who differs from whom."""

    v: int
    version: _Name
    started_s: _Time
    role: _Name
    mode: _Name
    configuration: _Name
    """Digest of the configuration in force, without what belongs to the node (names, addresses, credentials)."""
    allowlist: _Name
    """Digest of the allowlist that operators set, the fleet's included; not what the node itself needs."""
    audit: _Name
    """Digest of the last audit's result; empty without."""
    drift: _Count
    """How often other programs changed our table since the start."""
    sequence: _Count
    """The `id` of the last record published."""
    published: _Count
    adopted: _Count
    refused: _Count
    problems: _Count
    clock_offset_s: Annotated[float, Meta(ge=-1e12, le=1e12)]
    observed_peers: Annotated[list[_Name], Meta(max_length=32)] = []
    """Peers of which only observed claims are held: the breaker tripped."""
    allowed: dict[Annotated[str, Meta(max_length=64)], _Short] = {}
    """A part of the allowlist, for `fleet diff`: network and reason, at most 32."""


def encode(record: BanRecord | PardonRecord | Hello) -> bytes:
    """Return a record as bytes."""
    return _encode(record)


def decode_ban(data: bytes) -> BanRecord:
    """Read a ban; RecordError if that is none of ours."""
    return _read(data, _bans, MAX_RECORD_BYTES)


def decode_pardon(data: bytes) -> PardonRecord:
    """Read a pardon; RecordError if that is none of ours."""
    return _read(data, _pardons, MAX_RECORD_BYTES)


def decode_hello(data: bytes) -> Hello:
    """Read a hello; RecordError if that is none of ours. Its texts are printable: they get into logs and messages."""
    said = _read(data, _hellos, MAX_HELLO_BYTES)
    texts: dict[str, Any] = {
        field: printable(value)
        for field, value in msgspec.structs.asdict(said).items()
        if isinstance(value, str) and not value.isprintable()
    }
    if not all(map(str.isprintable, said.observed_peers)):
        texts["observed_peers"] = list(map(printable, said.observed_peers))
    if not all(map(str.isprintable, (*said.allowed, *said.allowed.values()))):
        texts["allowed"] = {printable(network): printable(reason) for network, reason in said.allowed.items()}
    return msgspec.structs.replace(said, **texts) if texts else said


_encode = msgspec.msgpack.Encoder().encode
_bans = msgspec.msgpack.Decoder(BanRecord)
_pardons = msgspec.msgpack.Decoder(PardonRecord)
_hellos = msgspec.msgpack.Decoder(Hello)
_any = msgspec.msgpack.Decoder()


def _read(data: bytes, decoder: "msgspec.msgpack.Decoder[T]", limit: int) -> T:
    if len(data) > limit:
        raise RecordError("oversize", f"{len(data)} bytes, {limit} at most")
    try:
        record = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(_cause(data), str(error)) from error
    version = getattr(record, "v", None)
    if version != VERSION:
        raise RecordError("version", f"version {version}, known is {VERSION}")
    return record


def _cause(data: bytes) -> str:
    """Tell a later version, whose fields may have other types, from garbage."""
    try:
        fields: Any = _any.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "malformed"
    is_later = isinstance(fields, list) and fields and isinstance(fields[0], int) and fields[0] > VERSION
    return "version" if is_later else "malformed"
