"""The settings of section `lists`: block lists from elsewhere."""

import enum
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, field

from monitor.config.kinds import OPTIONAL_PATH, Names, ValueKind, duration, integer
from monitor.config.shapes import Conflict, Section
from monitor.config.types import quote
from monitor.lists.file import MAX_ENTRIES
from monitor.model.addresses import Network
from monitor.model.bans import Mode

LIST_NAMES = Names("[a-z0-9][a-z0-9_-]{0,31}", "a name of 1 to 32 lower-case letters, digits, _ and -")
MAX_LISTS = 16
_LONGEST_URL = 1024
_EXPIRES_S, _EXPIRES_ROUNDS = 7 * 86400.0, 3


def read_url(value: str) -> str:
    """Read the URL of a list; ValueError says what is wrong. Empty: none."""
    example = "expected for example https://www.spamhaus.org/drop/drop_v4.json"
    if not value:
        return value
    if len(value) > _LONGEST_URL or not value.isprintable() or " " in value or not value.isascii():
        raise ValueError(f"{quote(value)} is not a URL ({example})")
    try:
        parts = urlsplit(value)
        host, has_user = parts.hostname, bool(parts.username or parts.password)
        parts.port  # noqa: B018 - raises ValueError
    except ValueError as error:
        raise ValueError(f"{quote(value)} is not a URL: {error} ({example})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{quote(value)} is not the URL of a list ({example})")
    if has_user:
        raise ValueError("a password in the URL would be shown by `config show`: fetch it by yourself, and use `file`")
    return value


URL: ValueKind[str] = ValueKind(
    "URL (https or http) or empty",
    read_url,
    str,
    {"type": "string", "maxLength": _LONGEST_URL, "pattern": "^(https?://[!-~]+)?$"},
)


class ListFormat(enum.StrEnum):
    """How the lines of a list are read; gzip is recognised in any case."""

    TEXT = "text"
    NETSET = "netset"
    RANGES = "ranges"
    CSV = "csv"
    SPAMHAUS_JSON = "spamhaus-json"


class ListSet(enum.StrEnum):
    """What becomes of the networks of a list."""

    BAN = "ban"
    SHUN = "shun"
    EGRESS = "egress"


class ListSettings(Section, frozen=True, kw_only=True):
    """One block list."""

    url: Annotated[
        str,
        URL,
        Meta(
            description="Where the list is fetched from. The certificate of an https server is verified; redirects are "
            "followed from https to https only. Over http anybody on the path can change the list."
        ),
    ] = ""
    file: Annotated[
        str, OPTIONAL_PATH, Meta(description="A file instead of `url`, which something else keeps up to date.")
    ] = ""
    format: Annotated[
        ListFormat,
        Meta(
            description="`text`: an address or network a line, comments after `#` or `;`. `netset`: the same, or the "
            "output of `ipset save`. `ranges`: `FIRST-LAST` a line. `csv`: a column of comma-separated values. "
            "`spamhaus-json`: the JSON lines of Spamhaus DROP. All of them plain or with gzip."
        ),
    ] = ListFormat.TEXT
    column: Annotated[
        int, integer(1, 64), Meta(description="The column of `csv` with the address or network, from 1.")
    ] = 1
    every_s: Annotated[
        float, duration("1h", "28d"), Meta(description="How often the source is asked for a newer version.")
    ] = field(default=86400.0, name="every")
    expires_s: Annotated[
        float,
        duration("0s", "365d"),
        Meta(
            description="How long a copy is used that cannot be renewed, at least `every`. 0: a week, or three times "
            "`every` if that is longer."
        ),
    ] = field(default=0.0, name="expires")
    set: Annotated[
        ListSet,
        Meta(
            description="`ban`: drop every packet from these networks. `shun`: refuse their new connections. `egress`: "
            "refuse connections to them. A list for the one direction says nothing about the other."
        ),
    ] = ListSet.SHUN
    mode: Annotated[Mode, Meta(description="`observe`: count what would be dropped. `enforce`: drop it.")] = (
        Mode.OBSERVE
    )
    max: Annotated[
        int,
        integer(1, MAX_ENTRIES),
        Meta(description="The most networks that the list may have; an update with more is not taken."),
    ] = 65_536
    wider: Annotated[
        tuple[Network, ...],
        Meta(
            description="Networks wider than /8 (IPv6: /19) that the list may have nevertheless; whatever lies inside "
            "one of them may be as wide."
        ),
    ] = ()

    @property
    def lifetime_s(self) -> float:
        """How long a copy is used that cannot be renewed."""
        return self.expires_s or max(_EXPIRES_S, _EXPIRES_ROUNDS * self.every_s)

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a list with no source or two, and a copy that ends before it can be renewed."""
        if bool(self.url) == bool(self.file):
            yield Conflict(("url" if self.url else "file",), "give either `url` or `file`")
        if self.expires_s and self.expires_s < self.every_s:
            yield Conflict(("expires",), "it must not be shorter than `every`: the list would be off in between")
        if self.column != 1 and self.format is not ListFormat.CSV:
            yield Conflict(("column",), "only the format `csv` has columns")
        if any(not network.prefix_length for network in self.wider):
            yield Conflict(("wider",), "all addresses are no list")
