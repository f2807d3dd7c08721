"""The settings of section `fleet`."""

import enum
import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, field

from monitor.config.kinds import OPTIONAL_PATH, ValueKind, duration, integer
from monitor.config.shapes import Section
from monitor.config.types import quote
from monitor.config.word_kinds import matching
from monitor.fleet.records import NODE_NAME
from monitor.fleet.redis.address import read_address
from monitor.model.bans import Mode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_LONGEST_URL = 1024


def _read_url(value: str) -> str:
    if not value:
        return value
    example = "expected for example rediss://redis.example.org:6379"
    if len(value) > _LONGEST_URL or not value.isprintable():
        raise ValueError(f"{quote(value)} is not the URL of a Redis server ({example})")
    try:
        parts = urlsplit(value)
        has_password = bool(parts.password)
    except ValueError as error:
        raise ValueError(f"{quote(value)} is not the URL of a Redis server: {error} ({example})") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"{quote(value)} is not the URL of a Redis server: known are {', '.join(_SCHEMES)} ({example})"
        )
    if has_password:
        raise ValueError("a password in the URL would be shown by `config show`: put it into a file (password_file)")
    try:
        read_address(value)
    except ValueError as error:
        raise ValueError(f"{quote(value)} is not the URL of a Redis server: {error} ({example})") from None
    return value


def _name(noun: str, pattern: str, consists: str, *, optional: bool = False) -> ValueKind[str]:
    return matching(noun, pattern, f"a {noun}: it consists of {consists}", optional=optional)


URL: ValueKind[str] = ValueKind(
    "URL of a Redis server, or empty",
    _read_url,
    str,
    {"type": "string", "maxLength": _LONGEST_URL, "pattern": "^((redis(s)?([+](sentinel|cluster))?|unix)://.+)?$"},
)
_OF_NODE = "at most 63 of a-z 0-9 . _ - and begins and ends with a letter or digit"
_OF_FLEET = "at most 32 of A-Z a-z 0-9 . _ - and begins with a letter or digit"
_OF_USER = "at most 64 of A-Z a-z 0-9 . _ - @ : and begins with a letter or digit"
FLEET_NAME = _name("name of a fleet", _NAME.pattern, _OF_FLEET)
NODE = _name("name of a node", NODE_NAME, _OF_NODE, optional=True)
PEER = _name("name of a node", NODE_NAME, _OF_NODE)
ROLE = _name("name of a role", _NAME.pattern, _OF_FLEET, optional=True)
USER = _name("name of a user", r"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,63}", _OF_USER, optional=True)


class Share(enum.StrEnum):
    """Which bans are published."""

    PROVEN = "proven"
    """Those that rest on evidence that nobody can forge."""
    ALL = "all"
    """Shuns, too."""


class FleetSettings(Section, frozen=True, kw_only=True):
    """Bans shared with other nodes."""

    url: Annotated[
        str,
        URL,
        Meta(
            description="The Redis or Valkey server that remembers for the fleet: `redis://HOST:PORT`, `rediss://` "
            "with TLS, `unix:///PATH`, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE`, `redis+cluster://HOST:PORT`. "
            "Empty: this node is alone."
        ),
    ] = ""
    name: Annotated[str, FLEET_NAME, Meta(description="Name of the fleet: one server may serve several.")] = "default"
    node: Annotated[
        str, NODE, Meta(description="Name of this node in the fleet, unique there. Empty: the host's name.")
    ] = ""
    role: Annotated[
        str, ROLE, Meta(description="What this node is for, such as `edge`: shown to the fleet, and for `adopt_roles`.")
    ] = ""
    mode: Annotated[
        Mode,
        Meta(description="`observe`: what peers ban is only recorded here. `enforce`: it is banned here, too."),
    ] = Mode.OBSERVE
    publish: Annotated[bool, Meta(description="Tell the fleet what detectors of this node ban.")] = True
    adopt: Annotated[bool, Meta(description="Take what other nodes ban.")] = True
    adopt_roles: Annotated[
        tuple[Annotated[str, ROLE], ...], Meta(description="Take only from nodes of these roles. Empty: all.")
    ] = ()
    quorum: Annotated[
        int, integer(1, 100), Meta(description="How many nodes must have banned a network before it is banned here.")
    ] = 1
    share: Annotated[
        Share,
        Meta(
            description="`proven`: share bans that rest on evidence nobody can forge, and take no others. `all`: "
            "shuns, too; then somebody who forges an address has it shunned by all nodes with this setting."
        ),
    ] = Share.PROVEN
    max_bantime_s: Annotated[
        float, duration("1m", "28d"), Meta(description="How long a ban of a peer is taken over for at most.")
    ] = field(default=86400.0, name="max_bantime")
    widest_ipv4: Annotated[
        int, integer(8, 32), Meta(description="The shortest IPv4 prefix that is taken over from peers.")
    ] = 32
    widest_ipv6: Annotated[
        int, integer(19, 128), Meta(description="The shortest IPv6 prefix that is taken over from peers.")
    ] = 64
    bans_per_minute: Annotated[
        int,
        integer(1, 100_000),
        Meta(
            description="New bans a minute that are taken from one peer; one with more is only observed from then on."
        ),
    ] = 60
    max_per_peer: Annotated[int, integer(10, 131_072), Meta(description="Bans that are held of one peer at most.")] = (
        20_000
    )
    username: Annotated[
        str, USER, Meta(description="User at the server, as `nodewarden fleet init` makes it. Empty: the default user.")
    ] = ""
    password_file: Annotated[
        str, OPTIONAL_PATH, Meta(description="File with the password, readable for the user nodewarden only.")
    ] = ""
    ca_file: Annotated[
        str, OPTIONAL_PATH, Meta(description="Certificates that the server's must be signed by. Empty: the system's.")
    ] = ""
    cert_file: Annotated[str, OPTIONAL_PATH, Meta(description="This node's certificate. Empty: none.")] = ""
    key_file: Annotated[str, OPTIONAL_PATH, Meta(description="The key of this node's certificate.")] = ""
