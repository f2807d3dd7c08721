"""Mail through a real SMTP server on loopback: what arrives, who gets it, and what failures mean."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.notify.channel import Again, Refused
from monitor.notify.channels.smtp import SmtpChannel
from monitor.notify.message import Urgency
from monitor.notify.sections.smtp import MailTls, SmtpSettings
from tests.support.list_server import certificate
from tests.support.mail_server import MailServer, Script
from tests.support.messages import HOSTILE, hostile, item, message, place


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Return a server without TLS."""
    one = MailServer()
    yield one
    one.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return certificates for two names."""
    directory = tmp_path_factory.mktemp("certificates")
    return {name: certificate(directory, name) for name in ("127.0.0.1", "other.example")}


def channel(port: int, tmp_path: Path, **settings: object) -> SmtpChannel:
    """Return a channel that sends mail to a port of loopback."""
    usual = {"host": "127.0.0.1", "port": port, "tls": MailTls.NONE, "sender": "nodewarden@node1.example",
             "to": ("admin@example.org",), "timeout_s": 20.0}  # fmt: skip
    section = SmtpSettings(**(usual | settings))  # type: ignore[arg-type]
    return SmtpChannel("mail", section, place(tmp_path))


def test_a_mail_says_what_happened(server: MailServer, tmp_path: Path) -> None:
    """Host, event, end, evidence and command in UTF-8, with headers that keep robots from answering."""
    one = channel(server.port, tmp_path, to=("admin@example.org", "second@example.org"))
    one.send(message(item("banned 192.0.2.7 - fünf"), title="node1: banned 192.0.2.7 - ünï", urgency=Urgency.CRITICAL))
    ((mail,), (envelope,)) = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["admin@example.org", "second@example.org"]
    assert envelope.mail_from == "nodewarden@node1.example"
    assert mail["Subject"] == "node1: banned 192.0.2.7 - ünï"
    assert (mail["Auto-Submitted"], mail["Importance"]) == ("auto-generated", "high")
    assert re.fullmatch(r"<[0-9a-f]{32}@node1\.example>", mail["Message-ID"])
    text = mail.get_content()
    wanted = "banned 192.0.2.7 - fünf", "until 2026-", "evidence: proven", "nodewarden why 192.0.2.7", "host node1"
    assert [part for part in wanted if part not in text] == []


def test_a_mail_about_one_event_does_not_repeat_its_subject(server: MailServer, tmp_path: Path) -> None:
    """The first line says when it happened; a digest starts with what it is about."""
    one, host = channel(server.port, tmp_path), message().host
    long = "x" * 300
    one.send(message(item(long), title=f"{host}: {long}"))
    one.send(message(item("first"), item("second"), title=f"{host}: 2 bans"))
    single, digest = (mail.get_content().splitlines() for mail in server.mails)
    assert single[0].endswith(f"Z  {long}")
    assert digest[0] == f"{host}: 2 bans"


def test_mails_of_one_group_are_one_thread(server: MailServer, tmp_path: Path) -> None:
    """Mail programs show the digests of a detector together; each mail has an identity of its own."""
    one = channel(server.port, tmp_path)
    for text in ("first", "second"):
        one.send(message(item(text)))
    one.send(message(group="ban nginx ban"))
    threads = [mail["References"] for mail in server.mails]
    assert threads[0] == threads[1] != threads[2]
    assert len({mail["Message-ID"] for mail in server.mails}) == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_add_no_header_and_no_recipient(server: MailServer, tmp_path: Path, text: str) -> None:
    """Line ends, dots and commands in texts stay text; a megabyte is cut."""
    channel(server.port, tmp_path).send(hostile(text))
    ((mail,), (envelope,)) = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["admin@example.org"]
    assert {name.lower() for name in mail} == {
        "from", "to", "subject", "date", "message-id", "references", "in-reply-to", "auto-submitted", "x-mailer",
        "x-auto-response-suppress", "content-type", "content-transfer-encoding", "mime-version",
    }  # fmt: skip
    assert len(mail["Subject"]) <= 200
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", mail.get_content().replace("\r\n", "\n"))
    assert isinstance(envelope.content, bytes)
    assert len(envelope.content) < 20_000


def test_a_mail_reaches_those_that_are_taken_and_only_once(server: MailServer, tmp_path: Path) -> None:
    """A recipient that is to be tried later is; the others do not get the mail again, and a wrong one is reported."""
    one = channel(server.port, tmp_path, to=("a@example.org", "b@example.org", "c@example.org"))
    server.refused = {"b@example.org": "451 greylisted, come back", "c@example.org": "550 no such user"}
    with pytest.raises(Again, match=r"b@example\.org: 451 .*c@example\.org: 550"):
        one.send(message())
    server.refused.pop("b@example.org")
    one.send(message())
    assert [envelope.rcpt_tos for envelope in server.envelopes] == [["a@example.org"], ["b@example.org"]]
    with pytest.raises(Refused, match=r"c@example\.org: 550 no such user"):
        one.send(message(item("another")))
    assert server.envelopes[-1].rcpt_tos == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize(
    ("answer", "kind"), [("554 looks like spam", Refused), ("452 no room", Again), ("421 going down", Again)]
)
def test_what_the_answer_to_a_mail_means(
    server: MailServer, tmp_path: Path, answer: str, kind: type[Exception]
) -> None:
    """A mail that the server never takes is not sent again."""
    server.answer = answer
    with pytest.raises(kind, match=answer):
        channel(server.port, tmp_path).send(message())


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.TLS])
def test_mail_is_encrypted_and_the_name_of_the_certificate_verified(
    certificates: dict[str, Path], tmp_path: Path, tls: MailTls
) -> None:
    """With STARTTLS, with TLS from the start, and a login in both; a server with another name gets nothing."""
    password = tmp_path / "password"
    password.write_text("sesame\n")
    for name, trusted in (("127.0.0.1", True), ("other.example", False)):
        server = MailServer(certificates[name], is_tls=tls is MailTls.TLS, password="sesame")
        try:
            one = channel(server.port, tmp_path, tls=tls, ca_file=str(certificates[name]), username="nw",
                          password_file=str(password))  # fmt: skip
            if trusted:
                one.send(message())
                password.write_text("wrong\n")
                with pytest.raises(Again, match="535") as caught:
                    one.send(message(item("another")))
                assert "wrong" not in str(caught.value)
                assert server.logins[0] == b"sesame"
                assert set(server.logins[1:]) == {b"wrong"}
                password.write_text("sesame\n")
            else:
                with pytest.raises(Again, match=r"not valid: .*mismatch"):
                    one.send(message())
            assert len(server.mails) == trusted
        finally:
            server.close()


def test_nothing_is_sent_if_the_server_offers_no_starttls(server: MailServer, tmp_path: Path) -> None:
    """Somebody on the path can remove the offer."""
    with pytest.raises(Again, match="no STARTTLS"):
        channel(server.port, tmp_path, tls=MailTls.STARTTLS).send(message())
    assert not server.envelopes


def _drip(client: socket.socket) -> None:
    while client.send(b"2"):
        time.sleep(0.02)


def _endless(client: socket.socket) -> None:
    while client.send(b"220-hello\r\n" * 1000):
        pass


def _injects(client: socket.socket) -> None:
    """Append what an attacker on the path would, before the handshake: RFC 3207 has the client forget it."""
    client.sendall(b"220 ready\r\n")
    client.recv(1000)
    client.sendall(b"250-x\r\n250 STARTTLS\r\n")
    client.recv(1000)
    client.sendall(b"220 go\r\n250 injected\r\n")
    client.recv(1000)


@pytest.mark.parametrize(
    ("play", "fault"),
    [
        (lambda client: client.recv(1), r"took longer than 0\.4 s"),
        (_drip, r"took longer than 0\.4 s"),
        (_endless, "ended early"),
        (lambda client: client.sendall(b"\xff\xfe\x00garbage\r\n"), "answers -1|ended early"),
        (lambda client: client.sendall(b"554 \x1b[1mno\r\n"), r"554 \\x1b\[1mno"),
        (lambda client: client.close(), "ended early|reset"),
        (_injects, "no TLS connection|ended early|reset|took longer"),
    ],
)
def test_faults_of_a_server_cost_the_time_limit_and_are_tried_again(
    tmp_path: Path, play: Callable[[socket.socket], None], fault: str
) -> None:
    """Silence, a byte now and then, an endless answer, garbage, and an end in the middle."""
    script = Script(play)
    try:
        one = channel(script.port, tmp_path, tls=MailTls.STARTTLS, timeout_s=0.4)
        with pytest.raises(Again, match=fault):
            one.send(message())
    finally:
        script.close()
