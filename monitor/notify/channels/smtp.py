"""Mail over SMTP (RFC 5321), with smtplib's commands over our own connection.

smtplib's limit is one for each read, and it reads answers without an end. So the connection and STARTTLS are made here,
the socket has one deadline, and answers are counted.
"""

import contextlib
import email.policy
import email.utils
import hashlib
import smtplib
import socket
from email.message import EmailMessage
from typing import Any

from monitor import __version__
from monitor.model.printable import printable
from monitor.notify.channel import Again, Refused
from monitor.notify.channels import wording
from monitor.notify.channels.connection import Current, Delivery
from monitor.notify.channels.http import client_context
from monitor.notify.channels.reached import Reached
from monitor.notify.message import Message, Urgency
from monitor.notify.registration import Place
from monitor.notify.secrets import read_secret
from monitor.notify.sections.smtp import MailTls, SmtpSettings

_PORTS = {MailTls.STARTTLS: 587, MailTls.TLS: 465, MailTls.NONE: 25}
_MAX_ANSWER_BYTES = 256 << 10
_LONGEST_SAID = 150
_NO_ACCESS = (530, 534, 535, 538)
"""Answers to a login that does not work: the operator repairs the password, and the mail is still wanted (RFC 4954)."""


class SmtpChannel:
    """Sends mail through one server."""

    def __init__(self, name: str, section: SmtpSettings, place: Place) -> None:
        self._section = section
        self._host = place.host
        self._name = name
        self._current = Current()
        self._reached = Reached()

    def send(self, message: Message) -> None:
        """Send one mail; Refused if an address is, Again if the server is not there or has no time."""
        section = self._section
        recipients = self._reached.left(message, section.to)
        content = compose(message, section, self._host).as_bytes(policy=email.policy.SMTP)
        where = f"{section.host}:{section.port or _PORTS[section.tls]}"
        with self._current.delivery(section.timeout_s, where) as delivery:
            try:
                self._deliver(delivery, content, recipients)
            except smtplib.SMTPException as error:
                if isinstance(error, smtplib.SMTPServerDisconnected):  # it hides why
                    raise Again(delivery.describe(ConnectionError("the connection ended early"))) from None
                raise _fault_of(error, where) from None

    def close(self) -> None:
        """End a delivery that is going on."""
        self._current.close()

    def _deliver(self, delivery: Delivery, content: bytes, recipients: tuple[str, ...]) -> None:
        with contextlib.closing(_Client(delivery, self._section, self._host)) as client:
            client.start()
            self._hand_over(client, content, recipients)

    def _hand_over(self, client: "_Client", content: bytes, recipients: tuple[str, ...]) -> None:
        section = self._section
        if section.username:
            client.login(section.username, read_secret(section.password_file))
        code, said = client.mail(section.sender)
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, said, section.sender)
        accepted, later, never = self._address(client, recipients)
        if accepted:
            code, said = client.data(content)
            if code != 250:
                raise smtplib.SMTPDataError(code, said)
            for recipient in accepted:
                self._reached.add(recipient)
        client.leave()
        if later:
            raise Again(f"the server takes no mail now for {wording.cut('; '.join(later + never), 300)}")
        if never:
            raise Refused(f"the server takes no mail for {wording.cut('; '.join(never), 300)}")

    def _address(self, client: "_Client", recipients: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
        """Name the recipients; return those that the server takes, and what it says of others: later, or never."""
        accepted: list[str] = []
        later: list[str] = []
        never: list[str] = []
        for recipient in recipients:
            code, said = client.rcpt(recipient)
            if code in (250, 251, 252):
                accepted.append(recipient)
            elif code == 421:  # the server closes the connection
                raise smtplib.SMTPResponseException(code, said)
            elif code < 500:
                later.append(f"{recipient}: {code} {_said(said)}")
            else:
                never.append(f"{recipient}: {code} {_said(said)}")
                self._reached.add(recipient)
        return accepted, later, never


class _Client(smtplib.SMTP):
    """Speaks SMTP over a connection with a deadline."""

    def __init__(self, delivery: Delivery, section: SmtpSettings, name: str) -> None:
        ascii_name = name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
        super().__init__(local_hostname=ascii_name)
        self._delivery = delivery
        self._section = section
        self._host = section.host

    def start(self) -> None:
        """Connect, take the server's greeting, and have the connection encrypted as the settings say."""
        section = self._section
        one = self._delivery.connect(section.host, section.port or _PORTS[section.tls])
        self._take(self._wrap(one) if section.tls is MailTls.TLS else one)
        code, said = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        self.ehlo_or_helo_if_needed()
        if section.tls is MailTls.STARTTLS:
            if not self.has_extn("starttls"):
                raise Again(
                    "the server offers no STARTTLS, and nothing is sent without encryption; `tls: none` is for a"
                    " server on this host"
                )
            code, said = self.docmd("STARTTLS")
            if code != 220:
                raise smtplib.SMTPResponseException(code, said)
            # What came before the handshake is not trusted: neither what is buffered nor what was offered (RFC 3207).
            self._take(self._wrap(one))
            self.helo_resp = self.ehlo_resp = None
            self.esmtp_features, self.does_esmtp = {}, False
            self.ehlo_or_helo_if_needed()

    def leave(self) -> None:
        """Say goodbye; the mail is delivered already, so nothing that fails here matters."""
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.docmd("QUIT")

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer. A server that never ends one is cut off."""
        if self.file is None and self.sock is not None:
            self.file = _Counted(self.sock.makefile("rb"))
        self._delivery.left_s()
        return super().getreply()

    def _take(self, one: socket.socket) -> None:
        if self.file is not None:
            self.file.close()
        self.sock, self.file = one, None

    def _wrap(self, one: socket.socket) -> socket.socket:
        return self._delivery.wrap(one, client_context(self._section), self._section.host)


class _Counted:
    """Reads lines, up to a number of bytes in all."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _MAX_ANSWER_BYTES

    def readline(self, limit: int = -1) -> bytes:
        """Read a line; OSError if there were too many."""
        line: bytes = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(0, "the server answers without an end")
        if line and not line.endswith(b"\n") and len(line) != limit:
            raise OSError(0, "the connection ended in the middle of an answer")
        return line

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def compose(message: Message, section: SmtpSettings, host: str) -> EmailMessage:
    """Return a message as mail (RFC 5322). Pure but for the Message-ID, which follows from the message."""
    message = wording.shown(message)
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = section.sender
    mail["To"] = ", ".join(section.to)
    mail["Subject"] = wording.cut(message.title, wording.LONGEST_TITLE)
    mail["Date"] = email.utils.format_datetime(email.utils.parsedate_to_datetime(_date(message.time_s)))
    domain = section.sender.rpartition("@")[2]
    thread = f"<{_digest(host, message.group)}@{domain}>"
    mail["Message-ID"] = f"<{_digest(host, message.group, repr(message))}@{domain}>"
    mail["References"] = thread
    mail["In-Reply-To"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["X-Mailer"] = f"nodewarden {__version__}"
    if message.urgency is Urgency.CRITICAL:
        mail["Importance"] = "high"
    mail.set_content("\n".join(wording.lines(message)) + "\n", charset="utf-8", cte="quoted-printable")
    return mail


def _date(time_s: float) -> str:
    return email.utils.formatdate(time_s if 0 <= time_s < 4e9 else 0.0)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _fault_of(error: smtplib.SMTPException, where: str) -> Refused | Again:
    """Return what an error of smtplib means for the mail."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = f"{where} answers {error.smtp_code} {_said(error.smtp_error)}"
        is_final = error.smtp_code >= 500 and error.smtp_code not in _NO_ACCESS
        is_about_mail = isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused)
        return Refused(text) if is_final and is_about_mail else Again(text)
    return Again(f"{where}: {wording.cut(printable(str(error)), _LONGEST_SAID)}")


def _said(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return wording.cut(printable(" ".join(text.split())), _LONGEST_SAID)
