"""A real SMTP server (aiosmtpd) on loopback, for a test; and one that says what a test wants, line by line."""

import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.list_server import server_context
from tests.support.redis_server import free_port


class MailServer:
    """Keeps mail that it takes; refuses the addresses that a test names, with the answer that it names."""

    def __init__(self, certificate: Path | None = None, *, is_tls: bool = False, password: str = "") -> None:
        """With a certificate it offers STARTTLS, or speaks TLS from the start; with a password it wants user `nw`."""
        self.envelopes: list[Envelope] = []
        self.refused: dict[str, str] = {}
        self.answer = "250 taken"
        self.port = free_port()
        self.logins: list[bytes] = []
        context = server_context(certificate) if certificate else None

        def log_in(_s: SMTP, _session: Session, _e: Envelope, _mechanism: str, data: Any) -> AuthResult:
            assert isinstance(data, LoginPassword)
            self.logins.append(data.password)
            return AuthResult(success=data == LoginPassword(b"nw", password.encode()), handled=False)

        options: dict[str, Any] = {"hostname": "127.0.0.1", "port": self.port, "decode_data": False}
        if context is not None and not is_tls:
            options |= {"tls_context": context, "require_starttls": True}
        if password:
            options |= {"authenticator": log_in, "auth_required": not is_tls, "auth_require_tls": not is_tls}
        self._controller = Controller(self, ssl_context=context if is_tls else None, **options)
        self._controller.start()

    @property
    def mails(self) -> list[EmailMessage]:
        """What was taken, parsed."""
        found = []
        for envelope in self.envelopes:
            assert isinstance(envelope.content, bytes)
            found.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return found

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer to a recipient."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail."""
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
        return self.answer

    def close(self) -> None:
        """End it."""
        self._controller.stop()


class Script:
    """Accepts one connection and does what a function says with it."""

    def __init__(self, play: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self._play, self._context = play, context
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Wait for the function to end."""
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            client, _ = self._listener.accept()
            with client:
                client.settimeout(10)
                self._play(client)
        except OSError:
            return
