"""The settings of syslog: messages for a log server or a SIEM."""

import enum
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import OPTIONAL_PATH, integer
from monitor.config.shapes import Conflict
from monitor.notify.registration import Registration
from monitor.notify.sections.smtp import HOST
from monitor.notify.sections.web import TlsSettings


class Transport(enum.StrEnum):
    """How records reach the server."""

    UNIX = "unix"
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class LogFormat(enum.StrEnum):
    """How records are written."""

    RFC5424 = "rfc5424"
    CEF = "cef"


class Facility(enum.StrEnum):
    """The facilities of RFC 5424 that fit."""

    DAEMON = "daemon"
    AUTH = "auth"
    AUTHPRIV = "authpriv"
    LOCAL0 = "local0"
    LOCAL1 = "local1"
    LOCAL2 = "local2"
    LOCAL3 = "local3"
    LOCAL4 = "local4"
    LOCAL5 = "local5"
    LOCAL6 = "local6"
    LOCAL7 = "local7"


class SyslogSettings(TlsSettings, frozen=True, kw_only=True):
    """Messages as records of syslog."""

    transport: Annotated[
        Transport,
        Meta(
            description="`unix`: the socket `path` of this host. `udp`: datagrams; nobody knows whether they arrive. "
            "`tcp`: with counted octets (RFC 6587). `tls`: the same over TLS (RFC 5425)."
        ),
    ] = Transport.UNIX
    path: Annotated[str, OPTIONAL_PATH, Meta(description="The socket of `unix`.")] = "/dev/log"
    host: Annotated[str, HOST, Meta(description="The server of the other transports.")] = "localhost"
    port: Annotated[
        int, integer(0, 65535), Meta(description="Its port. 0: 514 for `udp`, 601 for `tcp`, 6514 for `tls`.")
    ] = 0
    format: Annotated[
        LogFormat,
        Meta(
            description="`rfc5424`: a line for people, with fields as structured data. `cef`: ArcSight's Common Event "
            "Format, with the same header."
        ),
    ] = LogFormat.RFC5424
    facility: Annotated[Facility, Meta(description="The facility of the records.")] = Facility.DAEMON

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a socket without a path."""
        yield from super().conflicts()
        if self.transport is Transport.UNIX and not self.path:
            yield Conflict(("path",), "the transport `unix` needs the path of a socket")


CHANNEL = Registration(
    kind="syslog",
    settings=SyslogSettings,
    summary="Writes messages to syslog servers, as RFC 5424 or CEF.",
    implementation="monitor.notify.channels.syslog:SyslogChannel",
    order=40,
)
