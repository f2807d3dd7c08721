"""The settings of mail."""

import enum
import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import ValueKind, integer
from monitor.config.shapes import Conflict
from monitor.config.types import quote
from monitor.config.word_kinds import matching
from monitor.notify.registration import Registration
from monitor.notify.sections.base import SECRET
from monitor.notify.sections.web import TlsSettings

_MAILBOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_MAX_RECIPIENTS = 50
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")
HOST = matching("host", r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]{0,252}[A-Za-z0-9])?|::1", "a host name or an address")


def _read_mailbox(value: str) -> str:
    if not _MAILBOX.fullmatch(value):
        raise ValueError(f"{quote(value)} is no mail address (expected for example admin@example.org)")
    return value


MAILBOX: ValueKind[str] = ValueKind(
    "mail address", _read_mailbox, str, {"type": "string", "maxLength": 320, "pattern": "^[!-?A-~]+@[!-~]+$"}
)


class MailTls(enum.StrEnum):
    """How the connection to the server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class SmtpSettings(TlsSettings, frozen=True, kw_only=True):
    """Messages by mail."""

    host: Annotated[str, HOST, Meta(description="The server that takes mail.")] = "localhost"
    port: Annotated[
        int, integer(0, 65535), Meta(description="Its port. 0: 587 with `starttls`, 465 with `tls`, 25 with `none`.")
    ] = 0
    tls: Annotated[
        MailTls,
        Meta(
            description="`starttls`: the connection is encrypted before anything is said, or ended. `tls`: it is from "
            "the start. `none`: it is not, which is for a server on this host."
        ),
    ] = MailTls.STARTTLS
    plaintext: Annotated[
        bool, Meta(description="Allow `tls: none` to another host: anybody on the path can read and change the mail.")
    ] = False
    sender: Annotated[
        str, MAILBOX, Meta(description="The address that the mail is from; refusals of later servers are sent there.")
    ] = field(name="from")
    to: Annotated[tuple[Annotated[str, MAILBOX], ...], Meta(description="The addresses that get it.")] = ()
    username: Annotated[
        str, matching("user name", "[ -~]{1,256}", "a user name", optional=True), Meta(description="Empty: no login.")
    ] = ""
    password_file: Annotated[str, SECRET, Meta(description="A file with the password of `username`.")] = ""

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse mail to nobody, half a login, and plain text over a network."""
        yield from super().conflicts()
        if not self.to:
            yield Conflict(("to",), "give at least one address")
        if len(self.to) > _MAX_RECIPIENTS:
            yield Conflict(("to",), f"at most {_MAX_RECIPIENTS} addresses: use a mailing list")
        if bool(self.username) != bool(self.password_file):
            yield Conflict(("username", "password_file"), "a login needs both username and password_file")
        if self.tls is MailTls.NONE and not _LOOPBACK.fullmatch(self.host) and not self.plaintext:
            yield Conflict(
                ("tls", "host"), "without TLS only to this host (localhost); `plaintext: true` allows others"
            )


CHANNEL = Registration(
    kind="smtp",
    settings=SmtpSettings,
    summary="Sends messages by mail.",
    implementation="monitor.notify.channels.smtp:SmtpChannel",
    order=20,
)
