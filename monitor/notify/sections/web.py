"""What the sections of channels that speak HTTP share."""

import contextlib
import re
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, field

from monitor.config.kinds import OPTIONAL_PATH, ValueKind, duration
from monitor.config.shapes import Conflict
from monitor.config.types import quote
from monitor.notify.sections.base import SECRET, ChannelSettings

_LONGEST_URL = 2048
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_EXAMPLE = "expected for example https://hooks.example.org/nodewarden"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}: ?[!-~]([ -~]{0,1022}[!-~])?")
_SECRET_HEADERS = ("authorization", "cookie", "key", "proxy-authorization", "x-api-key", "x-auth-token")
_FRAMING = ("connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade")
_HOOKS = (
    "discord.com",
    "discordapp.com",
    "hooks.slack.com",
    "webhook.office.com",
    "logic.azure.com",
    "api.telegram.org",
)


def read_url(value: str, *, may_have_secret: bool = False) -> str:
    """Read a URL; ValueError says what is wrong, without the value if `may_have_secret`."""
    shown = "this" if may_have_secret else quote(value)
    if len(value) > _LONGEST_URL or not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError(f"{shown} is not a URL ({_EXAMPLE})")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{shown} is not a URL ({_EXAMPLE})") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or port == 0 or parts.fragment:
        raise ValueError(f"{shown} is not the URL of a server ({_EXAMPLE})")
    if "@" in parts.netloc:
        raise ValueError("no user and password in the URL: put a header `Authorization` into headers_file")
    return value


def _read_plain_url(value: str) -> str:
    if not value:
        return value
    host = ""
    with contextlib.suppress(ValueError):
        host = urlsplit(value).hostname or ""
    if any(host == one or host.endswith(f".{one}") for one in _HOOKS):
        raise ValueError(f"the path of a hook of {host} is a password, which `config show` would show: use url_file")
    return read_url(value)


def _read_header(value: str) -> str:
    name = value.partition(":")[0].strip().lower()
    if not _HEADER.fullmatch(value):
        raise ValueError("a header is written NAME: VALUE, in printable ASCII")
    if name in _FRAMING:
        raise ValueError(f"{quote(name)} is set by the notifier")
    if name in _SECRET_HEADERS:
        raise ValueError(f"{quote(name)} holds a secret, which `config show` would show: put it into headers_file")
    return value


URL: ValueKind[str] = ValueKind(
    "URL (https or http) or empty",
    _read_plain_url,
    str,
    {"type": "string", "maxLength": _LONGEST_URL, "pattern": "^(https?://[!-~]+)?$"},
)
SERVER_URL: ValueKind[str] = ValueKind(
    "URL (https or http)",
    read_url,
    str,
    {"type": "string", "maxLength": _LONGEST_URL, "pattern": "^https?://[!-~]+$"},
)
HEADER: ValueKind[str] = ValueKind(
    "header, NAME: VALUE", _read_header, str, {"type": "string", "maxLength": 1100, "pattern": "^[!-9;-~]+: ?[ -~]+$"}
)


class TlsSettings(ChannelSettings, frozen=True, kw_only=True):
    """What channels with TLS have. The server's certificate is always verified, its name included."""

    timeout_s: Annotated[
        float,
        duration("1s", "60s"),
        Meta(description="How long one attempt may take, from the name's look-up to the end of the answer."),
    ] = field(default=15.0, name="timeout")
    ca_file: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(description="Certificates that the server's must be signed by. Empty: those that the system trusts."),
    ] = ""
    cert_file: Annotated[str, SECRET, Meta(description="Our certificate, for a server that asks for one.")] = ""
    key_file: Annotated[
        str, SECRET, Meta(description="The key of `cert_file`, not encrypted. Empty: it is in `cert_file`.")
    ] = ""

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a key without a certificate."""
        if self.key_file and not self.cert_file:
            yield Conflict(("key_file",), "a key without a certificate: set cert_file")


class WebSettings(TlsSettings, frozen=True, kw_only=True):
    """What channels that speak HTTP have."""

    url: Annotated[str, URL, Meta(description="Where messages are posted to. Redirects are not followed.")] = ""
    url_file: Annotated[
        str,
        SECRET,
        Meta(description="A file with the URL, for hooks of Slack, Discord and others whose URL is a password."),
    ] = ""
    headers: Annotated[
        tuple[Annotated[str, HEADER], ...],
        Meta(description="Further headers, such as `X-Team: blue`. Those with secrets belong into `headers_file`."),
    ] = ()
    headers_file: Annotated[
        str, SECRET, Meta(description="A file with further headers, one a line: `Authorization: Bearer …`.")
    ] = ""
    proxy: Annotated[
        str,
        URL,
        Meta(description="An HTTP proxy, `http://HOST:PORT`. Empty: none; variables of the environment are ignored."),
    ] = ""

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a place that is missing or given twice."""
        yield from super().conflicts()
        if bool(self.url) == bool(self.url_file):
            yield Conflict(("url" if self.url else "url_file",), "give either `url` or `url_file`")
        yield from self.proxy_conflicts()

    def proxy_conflicts(self) -> Iterable[Conflict]:
        """Refuse a proxy that is more than an address."""
        if self.proxy.startswith("https:") or (self.proxy and urlsplit(self.proxy).path not in ("", "/")):
            yield Conflict(("proxy",), "a proxy is written http://HOST:PORT")
