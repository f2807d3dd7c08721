"""Fetching over real connections: whatever the server does, it costs a bounded time and a fault with its cause."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.lists.faults import ListCause, ListFault
from monitor.lists.fetch import FetchLimits, Validators, fetch
from monitor.lists.urls import is_special, source_of
from monitor.model.addresses import parse_address
from tests.support.list_server import Answer, ListServer, certificate, empty, ok, server_context

QUICK = FetchLimits(total_s=0.4, idle_s=0.3, wire_bytes=200_000)
PATIENT = FetchLimits(total_s=60.0, idle_s=30.0, wire_bytes=200_000)


@pytest.fixture
def server() -> Iterator[ListServer]:
    """Return a server over HTTP."""
    one = ListServer()
    yield one
    one.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return certificates by name: the right one, and one of another host."""
    directory = tmp_path_factory.mktemp("certificates")
    return {name: certificate(directory, name) for name in ("127.0.0.1", "lists.example.org")}


@pytest.fixture
def secure(certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ListServer]:
    """Return a server over TLS whose certificate is trusted, as is that of `lists.example.org`."""
    trusted = certificates["127.0.0.1"].parent / "trusted.pem"
    trusted.write_bytes(b"".join(path.read_bytes() for path in certificates.values()))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    one = ListServer(context=server_context(certificates["127.0.0.1"]))
    yield one
    one.close()


def content_of(url: str, known: Validators = Validators(), limits: FetchLimits = PATIENT) -> bytes | None:  # noqa: B008
    """Return what a server sends; None if it has nothing newer. Loopback counts as outside here."""
    with fetch(url, known, lambda address: address == parse_address("127.0.0.2"), limits) as fetched:
        return b"".join(fetched.chunks) if fetched.is_modified else None


def fault_of(url: str, limits: FetchLimits = PATIENT) -> ListFault:
    """Return the fault of a fetch that must not succeed."""
    with pytest.raises(ListFault) as caught:
        content_of(url, limits=limits)
    return caught.value


def test_a_list_and_what_the_server_said_of_its_version(server: ListServer) -> None:
    """The validators come back with the next request, and a 304 to them is no content."""
    server.answer = ok(b"192.0.2.1\n", 'ETag: "a1"', "Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT")
    with fetch(server.url + "?key=secret") as fetched:
        assert b"".join(fetched.chunks) == b"192.0.2.1\n"
        assert fetched.is_complete
    assert server.requests[0].startswith(b"GET /drop.txt?key=secret HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.requests[0]
    server.answer = empty("304 Not Modified")
    assert content_of(server.url, fetched.validators) is None
    assert b'If-None-Match: "a1"\r\n' in server.requests[1]
    assert b"If-Modified-Since: Fri, 27 Nov 2026 10:00:00 GMT\r\n" in server.requests[1]
    assert source_of("https://u:p@lists.example.org/a?key=secret") == "https://lists.example.org/a"


def test_validators_that_cannot_be_sent_back_are_not_kept(server: ListServer) -> None:
    """A header of kilobytes, or with control characters, is no version."""
    server.answer = ok(b"", f"ETag: {'x' * 5000}", "Last-Modified: \x7f")
    with fetch(server.url) as fetched:
        assert fetched.validators == Validators()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (empty("404 Not Found"), ListCause.STATUS),
        (empty("503 \x1b[2JBusy"), ListCause.STATUS),
        (empty("304 Not Modified"), ListCause.STATUS),
        (empty("206 Partial Content"), ListCause.STATUS),
        (ok(b"1", "Content-Type: text/html; charset=utf-8"), ListCause.CONTENT),
        (ok(b"1", "Content-Encoding: br"), ListCause.CONTENT),
        (ok(b"1" * 100)[:-50], ListCause.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", ListCause.TRUNCATED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", ListCause.TRUNCATED),
        (ok(b"1" * 200_001), ListCause.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"1" * 200_001, ListCause.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n1", ListCause.TOO_LARGE),
        (b"", ListCause.UNREACHABLE),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ListCause.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", ListCause.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999, ListCause.UNREACHABLE),
        (empty("302 Found"), ListCause.REDIRECT),
        (empty("302 Found", "Location: http://127.0.0.1/other"), ListCause.REDIRECT),
        (empty("301 Moved", "Location: https://127.0.0.1/other"), ListCause.REDIRECT),
        (empty("302 Found", "Location: file:///etc/passwd"), ListCause.REDIRECT),
        (empty("302 Found", "Location: https://[::1"), ListCause.UNREACHABLE),
    ],
)
def test_each_wrong_answer_has_its_cause(server: ListServer, answer: Answer, cause: ListCause) -> None:
    """A fault is a text for people, without anything that a terminal obeys."""
    server.answer = answer
    fault = fault_of(server.url)
    assert fault.cause is cause, fault
    assert str(fault).isprintable()


def test_what_ends_with_the_connection_may_be_cut(server: ListServer) -> None:
    """Without a length nobody knows whether all of it came, and the reader of lines is told so."""
    server.answer = b"HTTP/1.0 200 OK\r\n\r\n192.0.2.1\n192.0.2.1"
    with fetch(server.url) as fetched:
        assert not fetched.is_complete
        assert b"".join(fetched.chunks) == b"192.0.2.1\n192.0.2.1"


def _silence(server: ListServer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    server.pause(30)


def _header_drip(server: ListServer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nA: "
    yield from server.drip()


def _body_drip(server: ListServer) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    yield from server.drip()


def _continue_drip(server: ListServer) -> Iterator[bytes]:
    yield from server.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.mark.parametrize("slow", [_silence, _header_drip, _body_drip, _continue_drip])
def test_a_slow_server_holds_nobody(server: ListServer, slow: Callable[[ListServer], Iterator[bytes]]) -> None:
    """Silence, and a byte now and then in a header or in the body, end when the time is over."""
    server.answer = lambda _: slow(server)
    assert fault_of(server.url, QUICK).cause is ListCause.TIMEOUT


def test_a_slow_handshake_holds_nobody(server: ListServer) -> None:
    """A server that takes the connection and never speaks TLS."""
    server.answer = lambda _: _silence(server)
    assert fault_of(server.url.replace("http:", "https:"), QUICK).cause in (ListCause.TIMEOUT, ListCause.CERTIFICATE)


def test_a_server_without_tls_is_said_to_have_none() -> None:
    """In words rather than OpenSSL's."""

    def answer(one: socket.socket) -> None:
        link, _ = one.accept()
        with link:
            link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            link.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as one:
        answering = threading.Thread(target=answer, args=(one,), daemon=True)
        answering.start()
        assert "does not speak TLS on this port" in str(fault_of(f"https://127.0.0.1:{one.getsockname()[1]}/"))
        answering.join()


def test_nothing_listens_and_no_such_name() -> None:
    """A port that is closed, and a name that cannot be one."""
    one = ListServer()
    one.close()
    assert fault_of(one.url).cause is ListCause.UNREACHABLE
    assert fault_of(f"http://{'a' * 64}.example.org/").cause is ListCause.UNREACHABLE


def test_redirects_from_https_to_https_are_followed(secure: ListServer) -> None:
    """Three of them, relative ones too; validators go along, and the fourth is one too many."""

    def answer(head: bytes) -> bytes:
        hop = int(head.split(b"?hop=")[1][:1]) if b"?hop=" in head else 0
        return ok(b"end") if hop == last else empty("302 Found", f"Location: ?hop={hop + 1}")

    secure.answer = answer
    last = 3
    assert content_of(secure.url) == b"end"
    last = 9
    assert fault_of(secure.url).cause is ListCause.REDIRECT
    secure.answer = empty("302 Found", f"Location: {secure.url.replace('https', 'http')}")
    assert "only https to https" in str(fault_of(secure.url))


def test_a_redirect_leads_nobody_into_the_own_network(secure: ListServer) -> None:
    """The URL is the operator's, where it leads is the server's; unless the URL itself is inside."""
    secure.answer = empty("302 Found", f"Location: https://127.0.0.2:{secure.port}/metadata")
    fault = fault_of(secure.url)
    assert fault.cause is ListCause.REDIRECT
    assert "inside of this network" in str(fault)
    assert len(secure.requests) == 1
    secure.answer = lambda head: ok(b"end") if b"/next" in head else empty("302 Found", "Location: /next")
    with fetch(secure.url, limits=PATIENT) as fetched:
        assert b"".join(fetched.chunks) == b"end"


@pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0",
                                  "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "ff02::1"])  # fmt: skip
def test_special_addresses(text: str) -> None:
    """What only this node or its network can reach."""
    assert is_special(parse_address(text))
    assert not is_special(parse_address("8.8.8.8"))
    assert not is_special(parse_address("2606:4700::1111"))


@pytest.mark.parametrize("trust", ["nobody", "other-host"])
def test_a_wrong_certificate_is_no_list(
    certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch, trust: str
) -> None:
    """One that nobody trusts, and one of another host."""
    name = "127.0.0.1" if trust == "nobody" else "lists.example.org"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["lists.example.org"]))
    one = ListServer(ok(b"192.0.2.1\n"), server_context(certificates[name]))
    try:
        assert fault_of(one.url).cause is ListCause.CERTIFICATE
        assert one.requests == []
    finally:
        one.close()


def test_old_tls_is_refused(certificates: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks TLS 1.1 at most is not talked to."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["127.0.0.1"]))
    context = server_context(certificates["127.0.0.1"])
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    one = ListServer(ok(b""), context)
    try:
        assert fault_of(one.url).cause is ListCause.CERTIFICATE
    finally:
        one.close()
