"""Webhooks against a real server on loopback: what its answers, and its failures, mean for a message."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.notify.channel import Again, Refused
from monitor.notify.channels.http import retry_after_s
from monitor.notify.channels.webhook import WebhookChannel
from monitor.notify.sections.webhook import WebhookSettings
from tests.support.hook_server import HookServer
from tests.support.list_server import Answer, certificate, empty, ok, server_context
from tests.support.messages import HOSTILE, hostile, message, place

SECRET = "T0000-B1111-abcdefghij"


@pytest.fixture
def server() -> Iterator[HookServer]:
    """Return a server over HTTP."""
    one = HookServer(empty("204 No Content"))
    yield one
    one.close()


def channel(url: str, tmp_path: Path, **settings: object) -> WebhookChannel:
    """Return a channel that posts to a URL."""
    section = WebhookSettings(url=url, **({"timeout_s": 20.0} | settings))  # type: ignore[arg-type]
    return WebhookChannel("team", section, place(tmp_path))


def test_the_message_is_posted_as_json(server: HookServer, tmp_path: Path) -> None:
    """Without a template the body is the message itself."""
    channel(server.url, tmp_path, headers=("X-Team: blue",)).send(message(event={"event": "ban", "number": 7}))
    (body,), (head,) = server.bodies, server.heads
    assert body["host"] == "node1"
    assert body["items"][0]["network"] == "192.0.2.7"
    assert body["event"] == {"event": "ban", "number": 7}
    assert (head["Content-Type"], head["X-Team"]) == ("application/json", "blue")
    assert server.requests[0].startswith(b"POST /drop.txt HTTP/1.1\r\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_bounded_json(server: HookServer, tmp_path: Path, text: str) -> None:
    """No text breaks out of the JSON, and none is longer than 2,000 characters."""
    channel(server.url, tmp_path).send(hostile(text))
    (body,) = server.bodies
    assert set(body) == {"host", "kind", "urgency", "group", "title", "items", "count", "since_s", "time_s", "event",
                         "unseen", "is_digest"}  # fmt: skip
    assert len(body["title"]) <= 2000
    assert len(server.requests[0]) < 40_000


def test_the_url_and_headers_come_from_files_and_are_read_each_time(server: HookServer, tmp_path: Path) -> None:
    """A secret that was replaced is used with the next message."""
    hook, headers = tmp_path / "hook", tmp_path / "headers"
    hook.write_text(server.url + "\n")
    headers.write_text("Authorization: Bearer one\n")
    one = channel("", tmp_path, url_file=str(hook), headers_file=str(headers))
    one.send(message())
    headers.write_text("Authorization: Bearer two\nX-More: 3\n")
    one.send(message())
    assert [head["Authorization"] for head in server.heads] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("answer", "kind", "after_s", "text"),
    [
        (empty("429 Too Many Requests", "Retry-After: 7"), Again, 7.0, "answers 429"),
        (empty("503 Unavailable", "Retry-After: 99999999"), Again, 21600.0, "answers 503"),
        (empty("503 Unavailable", "Retry-After: soon"), Again, None, "answers 503"),
        (empty("500 Oops"), Again, None, "answers 500"),
        (empty("408 Timeout"), Again, None, "answers 408"),
        (empty("400 Bad Request"), Refused, None, "answers 400"),
        (empty("403 Forbidden"), Refused, None, "answers 403"),
        (empty("302 Found", "Location: https://evil.example/"), Refused, None, "redirect, which is not followed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nno \x1b[1mhook", Refused, None, r"404: no \\x1b\[1m"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Again, None, "no HTTP"),
        (b"\xff" * 70_000, Again, None, "no HTTP"),
        (b"", Again, None, "no HTTP, or ended early"),
        (b"HTTP/1.1 2", Again, None, "no HTTP, or ended early"),
    ],
)
def test_what_an_answer_means(
    server: HookServer, tmp_path: Path, answer: Answer, kind: type[Exception], after_s: float | None, text: str
) -> None:
    """Too many requests and faults of the server are tried again, after the pause that it asks for; others are not."""
    server.answer = answer
    with pytest.raises(kind, match=text) as caught:
        channel(server.url, tmp_path).send(message())
    assert getattr(caught.value, "after_s", None) == after_s
    assert len(server.requests) == 1


def test_an_answer_without_an_end_is_a_success_by_its_status(server: HookServer, tmp_path: Path) -> None:
    """The server took the message: what else it says is read up to a bound, and does not matter."""
    endless = (b"HTTP/1.1 200 OK\r\n\r\n" if not number else b"x" * 65536 for number in range(100_000))
    server.answer = endless
    channel(server.url, tmp_path).send(message())
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf of it"
    channel(server.url, tmp_path).send(message())
    assert next(endless, None) is not None


@pytest.mark.parametrize("how", ["silent", "drips", "drips headers"])
def test_a_slow_server_costs_the_time_limit(server: HookServer, tmp_path: Path, how: str) -> None:
    """A byte now and then does not extend the limit."""

    def slowly(_: bytes) -> Iterator[bytes]:
        yield b"" if how == "silent" else b"HTTP/1.1 500 Oops\r\nX-Long: "
        if how == "drips":
            yield b"x\r\nContent-Length: 100000\r\n\r\n"
        if how == "silent":
            server.pause(30)
        yield from server.drip()

    server.answer = slowly
    started_s = time.monotonic()
    with pytest.raises(Again, match=r"took longer than 0\.3 s|answers 500"):
        channel(server.url, tmp_path, timeout_s=0.3).send(message())
    assert time.monotonic() - started_s < 10


def test_closing_the_channel_ends_a_post(server: HookServer, tmp_path: Path) -> None:
    """The notifier does not wait for a slow server when it stops."""
    seen = threading.Event()

    def hold(_: bytes) -> Iterator[bytes]:
        seen.set()
        server.pause(30)
        yield b""

    server.answer = hold
    one = channel(server.url, tmp_path)

    def close_then() -> None:
        seen.wait(10)
        one.close()

    closer = threading.Thread(target=close_then)
    closer.start()
    with pytest.raises(Again, match="stops"):
        one.send(message())
    closer.join()
    with pytest.raises(Again, match="stops"):
        one.send(message())


def test_a_message_waits_for_a_thread(server: HookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups that hang hold threads; when the unit may have no more, nothing is given up as refused."""

    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one = channel(server.url, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        with pytest.raises(Again, match="no thread"):
            one.send(message())
    one.send(message())


def test_a_server_that_is_down_is_tried_again(tmp_path: Path) -> None:
    """Refused connections and unknown names are faults that may pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Again, match="Connection refused"):
        channel(f"http://127.0.0.1:{port}/", tmp_path).send(message())
    with pytest.raises(Again):
        channel("http://nowhere.invalid/", tmp_path).send(message())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\r\n\r\nno token %s for /%s", b"HTTP/1.1 500 No\r\n\r\n%s%s"])
def test_no_error_contains_a_secret(server: HookServer, tmp_path: Path, answer: bytes) -> None:
    """Servers repeat paths and tokens in what they say; the path of a hook is its password."""
    server.answer = answer % (SECRET.encode(), SECRET.encode())
    headers = tmp_path / "headers"
    headers.write_text(f"Authorization: Bearer {SECRET}\n")
    hook = f"http://127.0.0.1:{server.port}/services/{SECRET}?key={SECRET}"
    with pytest.raises((Again, Refused)) as caught:
        channel(hook, tmp_path, headers_file=str(headers)).send(message())
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
    (tmp_path / "bad").write_text(f"ftp://{SECRET}")
    with pytest.raises(Again) as again:
        channel("", tmp_path, url_file=str(tmp_path / "bad")).send(message())
    assert SECRET not in str(again.value)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return certificates for several names, and one that has expired."""
    directory = tmp_path_factory.mktemp("certificates")
    found = {name: certificate(directory, name) for name in ("127.0.0.1", "other.example")}
    expired, request, key = directory / "expired.pem", directory / "request", f"{found['127.0.0.1']}.key"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    for command in (
        ["req", "-new", "-key", key, *subject, "-out", str(request)],
        ["x509", "-req", "-in", str(request), "-signkey", key, "-days", "-1", "-copy_extensions", "copy", "-out",
         str(expired)],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    expired.write_bytes(expired.read_bytes() + Path(key).read_bytes())
    return found | {"expired": expired}


@pytest.mark.parametrize(
    ("shown", "trusted", "fault"),
    [
        ("127.0.0.1", "127.0.0.1", ""),
        ("127.0.0.1", "", "self-signed certificate"),
        ("other.example", "other.example", "IP address mismatch"),
        ("expired", "expired", "expired"),
    ],
)
def test_certificates_are_verified(
    certificates: dict[str, Path], tmp_path: Path, shown: str, trusted: str, fault: str
) -> None:
    """A wrong name, an unknown issuer or an expired certificate ends the connection before anything is sent."""
    server = HookServer(ok(b""), server_context(certificates[shown]))
    try:
        one = channel(server.url, tmp_path, ca_file=str(certificates[trusted]) if trusted else "")
        if fault:
            with pytest.raises(Again, match=f"not valid: .*{fault}"):
                one.send(message())
            assert not any(server.requests)
        else:
            one.send(message())
            assert len(server.bodies) == 1
    finally:
        server.close()


def test_our_certificate_is_shown_to_a_server_that_asks(certificates: dict[str, Path], tmp_path: Path) -> None:
    """Without it the server refuses the connection."""
    context = server_context(certificates["127.0.0.1"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates["other.example"])
    server = HookServer(ok(b""), context)
    try:
        trusted = str(certificates["127.0.0.1"])
        channel(server.url, tmp_path, ca_file=trusted, cert_file=str(certificates["other.example"])).send(message())
        with pytest.raises(Again):
            channel(server.url, tmp_path, ca_file=trusted).send(message())
        with pytest.raises(Again, match="cannot be used"):
            channel(server.url, tmp_path, ca_file=trusted, cert_file="/dev/null").send(message())
    finally:
        server.close()
    assert len([request for request in server.requests if request.strip()]) == 1


def test_a_proxy_is_used_if_it_is_configured(
    server: HookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none of the environment, which would see what is sent."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    channel(server.url, tmp_path).send(message())
    channel("http://hooks.example/x", tmp_path, proxy=f"http://127.0.0.1:{server.port}").send(message())
    assert server.requests[1].startswith(b"POST http://hooks.example/x HTTP/1.1\r\n")
    assert server.heads[1]["Host"] == "hooks.example"
    with pytest.raises(Again, match="the proxy answers 204"):
        channel("https://hooks.example/x", tmp_path, proxy=f"http://127.0.0.1:{server.port}").send(message())
    assert server.requests[2].startswith(b"CONNECT hooks.example:443 HTTP/1.1\r\n")


def test_a_template_decides_the_body(server: HookServer, tmp_path: Path) -> None:
    """ntfy gets its topic, a text template the type of its content."""
    channel(server.url, tmp_path, template="ntfy", variables=("topic=alerts=x",)).send(message())
    assert server.bodies[0]["topic"] == "alerts=x"
    path = tmp_path / "own.txt.j2"
    path.write_text("{{ message.title }}")
    channel(server.url, tmp_path, template=str(path)).send(message(title="ä"))
    assert server.heads[1]["Content-Type"] == "text/plain; charset=utf-8"
    assert server.requests[1].endswith(b"\r\n\r\n" + "ä".encode())
    with pytest.raises(ValueError, match="No such file"):
        channel(server.url, tmp_path, template="/nowhere/own.txt.j2")
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["markdown"] is False


def test_a_pause_is_read_from_seconds_and_from_a_date() -> None:
    """Both forms of Retry-After; a date that is over is no pause."""
    now_s = 1_790_000_000.0
    assert retry_after_s("120", now_s) == 120.0
    assert retry_after_s("0.5", now_s) == 0.5
    assert retry_after_s("Mon, 21 Sep 2026 14:14:40 GMT", now_s) == 1_790_000_080.0 - now_s
    assert retry_after_s("Mon, 01 Jan 2001 00:00:00 GMT", now_s) == 0.0
    assert retry_after_s("-1", now_s) is None
    assert retry_after_s("9" * 65, now_s) is None
    assert retry_after_s(None, now_s) is None
