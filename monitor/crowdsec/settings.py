"""The settings of section `crowdsec`."""

import enum
import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, field

from monitor.config.kinds import OPTIONAL_PATH, ValueKind, duration, integer
from monitor.config.shapes import Conflict, Section
from monitor.config.types import quote
from monitor.config.word_kinds import matching
from monitor.model.bans import Ban, Mode

ORIGIN = "crowdsec"
"""The origin of decisions on what machines detected; `cscli decisions list` shows no other, but those of people."""
PREFIX = "crowdsec/"
"""With this begin the names of claims on LAPI's decisions; no node of a fleet and no detector can have such a name."""
_LONGEST_URL = 1024
_EXAMPLE = "expected for example http://127.0.0.1:8080 or https://lapi.example.org:8080"
_HOST = re.compile(r"[A-Za-z0-9._:-]+(%[A-Za-z0-9]+)?")


def _read_url(value: str) -> str:
    if not value:
        return value
    wrong = f"{quote(value)} is not the URL of a LAPI"
    if len(value) > _LONGEST_URL or not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"{wrong} ({_EXAMPLE})")
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ValueError(f"{wrong}: {error} ({_EXAMPLE})") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(f"{wrong} ({_EXAMPLE})")
    if "@" in parts.netloc:
        raise ValueError("a password in the URL would be shown by `config show`: put it into a file (password_file)")
    if parts.query or parts.fragment:
        raise ValueError(f"{wrong}: it ends with the path ({_EXAMPLE})")
    return value


URL: ValueKind[str] = ValueKind(
    "URL of a LAPI, or empty",
    _read_url,
    str,
    {"type": "string", "maxLength": _LONGEST_URL, "pattern": "^(https?://.+)?$"},
)
MACHINE = matching("a name of a machine", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of a machine", optional=True)
ORIGIN_NAME = matching("an origin of decisions", r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", "an origin of decisions")


class ScenarioSet(enum.StrEnum):
    """What decisions of CrowdSec's scenarios and lists lead to."""

    SHUN = "shun"
    """New connections are refused."""
    BAN = "ban"
    """Every packet is dropped."""


def is_of_lapi(claim: Ban) -> bool:
    """Whether a claim rests on a decision of LAPI."""
    return not claim.origin.is_local and claim.detector.startswith(PREFIX)


class CrowdsecSettings(Section, frozen=True, kw_only=True):
    """Decisions exchanged with CrowdSec."""

    url: Annotated[
        str,
        URL,
        Meta(
            description="CrowdSec's local API (LAPI): `http://HOST:PORT` or `https://HOST:PORT`. Empty: nothing is "
            "exchanged with CrowdSec."
        ),
    ] = ""
    ca_file: Annotated[
        str, OPTIONAL_PATH, Meta(description="Certificates that LAPI's must be signed by. Empty: the system's.")
    ] = ""
    pull: Annotated[bool, Meta(description="Take over what LAPI decided, as a bouncer.")] = True
    mode: Annotated[
        Mode,
        Meta(description="`observe`: what LAPI decided is only recorded here. `enforce`: it is banned here, too."),
    ] = Mode.OBSERVE
    bouncer_key_file: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="File with the key of `cscli bouncers add`, readable for the user nodewarden only. Each node "
            "needs a key of its own: LAPI sends a change once to each key."
        ),
    ] = ""
    origins: Annotated[
        tuple[Annotated[str, ORIGIN_NAME], ...],
        Meta(
            description="Whose decisions are taken over: `crowdsec` (scenarios, and other nodes that push), `cscli` "
            "(people), `cscli-import`, `CAPI` (the community's list), `lists` (subscribed lists)."
        ),
    ] = (ORIGIN, "cscli")
    set: Annotated[
        ScenarioSet,
        Meta(
            description="`shun`: refuse new connections from what scenarios and lists decided on, since LAPI does not "
            "say whether their evidence can be forged. `ban`: drop every packet. What people and other nodes "
            "decided is always banned."
        ),
    ] = ScenarioSet.SHUN
    every_s: Annotated[float, duration("1s", "10m"), Meta(description="How often LAPI is asked for changes.")] = field(
        default=10.0, name="every"
    )
    max_bantime_s: Annotated[
        float,
        duration("2h", "28d"),
        Meta(
            description="How long a decision is taken over for at most. A longer one is renewed each hour while LAPI "
            "has it."
        ),
    ] = field(default=86400.0, name="max_bantime")
    widest_ipv4: Annotated[
        int, integer(8, 32), Meta(description="The shortest IPv4 prefix that is taken over from LAPI.")
    ] = 24
    widest_ipv6: Annotated[
        int, integer(19, 128), Meta(description="The shortest IPv6 prefix that is taken over from LAPI.")
    ] = 48
    max_decisions: Annotated[
        int, integer(10, 131_072), Meta(description="Decisions of LAPI that are held at most; 2048 while observing.")
    ] = 20_000
    push: Annotated[
        bool,
        Meta(
            description="Push bans of single hosts that rest on proof to LAPI, as a machine. All bouncers of it "
            "enforce them."
        ),
    ] = False
    machine: Annotated[
        str, MACHINE, Meta(description="Name of this node at LAPI, as in `cscli machines add`; needed for `push`.")
    ] = ""
    password_file: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(description="File with the password of that machine, readable for the user nodewarden only."),
    ] = ""

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what is missing."""
        if not self.url:
            return
        if self.pull and not self.bouncer_key_file:
            yield Conflict(("bouncer_key_file", "pull"), "needed for pull: see `cscli bouncers add` (or pull: false)")
        if self.push and not self.machine:
            yield Conflict(("machine", "push"), "needed for push: see `cscli machines add`")
        if self.push and not self.password_file:
            yield Conflict(("password_file", "push"), "needed for push: see `cscli machines add`")

    @property
    def pulls(self) -> bool:
        """Whether decisions are taken over."""
        return bool(self.url) and self.pull

    @property
    def pushes(self) -> bool:
        """Whether bans are pushed."""
        return bool(self.url) and self.push
