"""Servers that are no LAPI, or a broken one: each fault has a cause and a sentence, and none costs more than itself."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.crowdsec import client, secrets
from monitor.crowdsec.client import Lapi
from monitor.crowdsec.errors import Cause, LapiError
from monitor.crowdsec.outbox import News
from monitor.crowdsec.settings import CrowdsecSettings
from monitor.daemon.crowdsec import link
from monitor.model.problems import ProblemKind
from tests.unit.crowdsec.support import Node, answering, http, settings_for

GOOD = http("200 OK", b'{"deleted":null,"new":null}')
ONE = b'{"id":1,"origin":"cscli","type":"ban","scope":"Ip","value":"203.0.113.7","duration":"1h","scenario":"x"}'
BAD = {
    # what it answers: the cause, and what people read
    b"": (Cause.ANSWER, "the answer is no HTTP, or ended early"),
    b"SSH-2.0-OpenSSH_9.2p1\r\n": (Cause.ANSWER, "the answer is no HTTP"),
    b"\x00\xff\xfe" * 1000: (Cause.ANSWER, "the answer is no HTTP"),
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500: (Cause.ANSWER, "the answer is no HTTP"),
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000: (Cause.ANSWER, "the answer is no HTTP"),
    http("200 OK", b"<html><body>It works!</body></html>"): (Cause.ANSWER, "is this a LAPI?"),
    http("200 OK", b""): (Cause.ANSWER, "is this a LAPI?"),
    http("200 OK", b'{"new":[' + ONE + b","): (Cause.ANSWER, "malformed, or ended early"),
    GOOD[:-5]: (Cause.ANSWER, "ended early"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{": (Cause.ANSWER, "ended early"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{": (Cause.ANSWER, ""),
    http("200 OK", b'{"new":[{"a":"' + b"x" * 100_000 + b'"}]}'): (Cause.ANSWER, "malformed"),
    http("301 Moved", b"", "Location: https://elsewhere.example/\x1b[2J"): (
        Cause.STATUS,
        "redirect to https://elsewhere",
    ),
    http("401 Unauthorized", b'{"message":"cookie token is empty"}'): (Cause.REFUSED, "does not accept the key in"),
    http("403 Forbidden", b'{"message":"access forbidden"}'): (Cause.REFUSED, "access forbidden"),
    http("404 Not Found", b"no"): (Cause.STATUS, "is this a LAPI?"),
    http("429 Too Many Requests"): (Cause.STATUS, "status 429"),
    http("500 Error", b'{"message":"database is locked\x1b[31m"}'): (Cause.STATUS, "status 500"),
    http("503 Unavailable", b"\xff" * 5000): (Cause.STATUS, "status 503"),
}


def pulled(settings: CrowdsecSettings) -> bytes:
    """Return an answer."""
    return b"".join(Lapi(settings).decisions(whole=True))


def failure(act: Callable[[], object]) -> LapiError:
    """Return the error that something raises, whose text is fit for a terminal."""
    with pytest.raises(LapiError) as raised:
        act()
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500
    return raised.value


@pytest.mark.parametrize("answer", BAD)
def test_a_bad_server_is_named_ends_nothing_and_is_asked_for_all_again(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held stays, and the first good answer works again."""
    monkeypatch.setattr(link, "_FIRST_RETRY_S", 0.01)
    good = http("200 OK", b'{"deleted":null,"new":[' + ONE + b"]}")
    cause, text = BAD[answer]

    async def run() -> None:
        with answering(good, answer, good) as url:
            node = Node(settings_for(url, tmp_path, "key"))
            await node.until(node.bans)
            await node.until(lambda: failures(node)[cause])
            assert sum(failures(node).values()) == 1
            await node.until(lambda: current(node) is None)
            assert list(node.bans()) == ["203.0.113.7"]
            assert node.faults == []
            node.bridge.close()

    asyncio.run(run())
    with answering(answer) as url:
        error = failure(lambda: pull_once(url, tmp_path))
    assert error.cause is cause
    assert text in str(error)
    assert "secret-key" not in str(error)


def pull_once(url: str, directory: Path) -> object:
    """Pull once, and take the answer apart."""
    from monitor.crowdsec.pulled import Pulled

    settings = settings_for(url, directory, "secret-key")
    return Pulled(settings).whole(Lapi(settings).decisions(whole=True), 0.0)


def failures(node: Node) -> dict[Cause, int]:
    """Return the failed pulls of a node."""
    assert node.bridge._link
    return node.bridge._link.pull.failures


def current(node: Node) -> LapiError | None:
    """Return why a node's last pull failed."""
    assert node.bridge._link
    return node.bridge._link.pull.failure


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_a_server_that_hangs(start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, in and after the header."""
    monkeypatch.setattr(client, "READ_S", 0.1)
    with answering(start, stays_open=True) as url:
        assert failure(lambda: pulled(settings_for(url, tmp_path, "key"))).cause is Cause.TIMEOUT


def test_an_answer_that_drips_or_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit of time, and one of bytes."""
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b'{"new":[' + (ONE + b",") * 20_000
    with answering(endless) as url:
        monkeypatch.setattr(client, "_MAX_STREAM_BYTES", 1 << 20)
        assert "more than 1 MiB" in str(failure(lambda: pulled(settings_for(url, tmp_path, "key"))))
        monkeypatch.setattr(client, "_MAX_STREAM_BYTES", 1 << 28)
        monkeypatch.setattr(client, "EXCHANGE_S", -1.0)
        assert failure(lambda: pulled(settings_for(url, tmp_path, "key"))).cause is Cause.TIMEOUT


def test_stopping_does_not_wait_for_a_server_that_hangs(tmp_path: Path) -> None:
    """The exchange ends at once, and no other begins."""
    with answering(b"", stays_open=True) as url:
        lapi = Lapi(settings_for(url, tmp_path, "key"))
        raised: list[LapiError] = []
        thread = threading.Thread(target=lambda: raised.append(failure(lambda: list(lapi.decisions(whole=True)))))
        thread.start()
        while lapi._socket is None:
            time.sleep(0.01)
        lapi.abort()
        thread.join(10)
        assert not thread.is_alive()
        assert failure(lambda: list(lapi.decisions(whole=True))).cause is Cause.UNREACHABLE


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:1", "no connection"),
        ("http://no-such-host.invalid:8080", "no connection"),
        (f"http://{'x' * 64}.example:8080", "no connection"),
    ],
)
def test_a_server_that_is_not_there(url: str, text: str, tmp_path: Path) -> None:
    """Nothing was sent, so nothing is lost."""
    error = failure(lambda: pulled(settings_for(url, tmp_path, "key")))
    assert (error.cause, text in str(error)) == (Cause.UNREACHABLE, True)


def certificate(directory: Path, name: str) -> None:
    """Make a certificate for a name."""
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    command = f"openssl req -x509 {kind} -days 2 -keyout key.pem -out cert.pem"
    words = [*command.split(), "-subj", f"/CN={name}", "-addext", f"subjectAltName={name}"]
    subprocess.run(words, cwd=directory, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("names", "trusts", "text"),
    [("IP:127.0.0.1", True, ""), ("IP:127.0.0.1", False, "self-signed certificate"), ("DNS:other", True, "mismatch")],
)
def test_the_certificate_and_its_name_are_checked(names: str, trusts: bool, text: str, tmp_path: Path) -> None:
    """A certificate of nobody we know, or for another name, gets no key."""
    import ssl

    certificate(tmp_path, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    got: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        plain, _ = listener.accept()
        try:
            with context.wrap_socket(plain, server_side=True) as one:
                got.append(one.recv(4096))
                one.sendall(GOOD)
        except OSError:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    settings = settings_for(url, tmp_path, "key", ca_file=str(tmp_path / "cert.pem") if trusts else "")
    if text:
        error = failure(lambda: pulled(settings))
        assert (error.cause, text in str(error)) == (Cause.TLS, True), str(error)
        assert got == []
    else:
        assert pulled(settings) == b'{"deleted":null,"new":null}'
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"two\nlines", "one line"),
        (b"\xff\xfe", "no text"),
        (b"x" * 5000, "larger than"),
        (b"k\x00", "one line"),
    ],
)
def test_a_file_that_is_no_key(content: bytes, text: str, tmp_path: Path) -> None:
    """It is named, and its content is not."""
    settings = settings_for("http://127.0.0.1:1", tmp_path, "key")
    (tmp_path / "key").write_bytes(content)
    error = failure(lambda: pulled(settings))
    assert error.cause is Cause.CREDENTIALS
    assert text in str(error)
    (tmp_path / "key").unlink()
    assert "No such file" in str(failure(lambda: secrets.read_secret(str(tmp_path / "key"))))


LOGIN = http("200 OK", b'{"code":200,"expire":"2026-11-27T23:17:41Z","token":"abc"}')
TAKEN = http("201 Created", b'["1"]')


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ((LOGIN, http("200 OK")), None),
        ((LOGIN, http("401 Unauthorized"), LOGIN, http("200 OK")), None),
        ((LOGIN, http("401 Unauthorized"), LOGIN, http("401 Unauthorized")), Cause.REFUSED),
        ((http("401 Unauthorized", b'{"message":"incorrect Username or Password"}'),), Cause.REFUSED),
        ((http("200 OK", b'{"token":7}'),), Cause.ANSWER),
        ((http("200 OK", b'{"token":"a\\r\\nX: y"}'),), Cause.ANSWER),
        ((http("200 OK", b"[]"),), Cause.ANSWER),
        ((LOGIN, http("500 Error", b'{"message":"validation failure"}')), Cause.STATUS),
    ],
)
def test_a_token_is_renewed_once(answers: tuple[bytes, ...], cause: Cause | None, tmp_path: Path) -> None:
    """LAPI that restarts with another secret accepts the old token no more."""
    with answering(*answers) as url:
        lapi = Lapi(settings_for(url, tmp_path, "key", "web-1"))
        if cause is None:
            lapi.heartbeat()
        else:
            assert failure(lapi.heartbeat).cause is cause


def test_a_lasting_failure_is_a_problem_and_a_short_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status`, metric and doctor say it, each direction for itself."""

    async def run() -> None:
        node = Node(settings_for("http://127.0.0.1:1", tmp_path, "key", "web-1"))
        await node.until(lambda: current(node))
        assert not list(node.bridge.problems())
        monkeypatch.setattr(link, "_PATIENCE_S", 0.0)
        await node.until(lambda: len(list(node.bridge.problems())) == 2)
        assert {one.kind for one in node.bridge.problems()} == {ProblemKind.CROWDSEC}
        assert {labels: value for name, labels, value in node.bridge.samples() if name.endswith("_up")} == {
            ("pull",): 0.0,
            ("push",): 0.0,
        }
        assert node.bridge.part().state == "could be better"
        node.bridge.close()
        node.bridge.reconfigure(CrowdsecSettings())
        assert (list(node.bridge.problems()), list(node.bridge.samples())) == ([], [])
        assert node.bridge.part().state == "off"

    asyncio.run(run())


def test_a_ban_that_lapi_does_not_like_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is refused is pushed one by one; an unban that is refused is dropped, and counted."""
    monkeypatch.setattr(link, "_FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(link, "_LAST_RETRY_S", 0.02)
    bad = "203.0.113.2"
    pushed: list[str] = []

    def push(_: Lapi, alerts: Sequence[Mapping[str, Any]]) -> None:
        if any(one["source"]["value"] == bad for one in alerts):
            raise LapiError(Cause.STATUS, "validation failure")
        pushed.extend(one["source"]["value"] for one in alerts)

    def delete(_: Lapi, value: str, scenario: str) -> None:
        raise LapiError(Cause.STATUS, "refused")

    monkeypatch.setattr(Lapi, "push", push)
    monkeypatch.setattr(Lapi, "delete", delete)
    monkeypatch.setattr(Lapi, "heartbeat", lambda _: None)

    async def run() -> None:
        settings = settings_for("http://127.0.0.1:1", tmp_path, "key", "web-1", pull=False)
        node = Node(settings)
        assert node.bridge._link
        box = node.bridge._link.outbox
        box.put_back([News(f"203.0.113.{number}", "s", time.time() + 600) for number in range(5)])
        await node.until(lambda: len(pushed) == 4 and len(box) == 1)  # it is out of the box while it is tried again
        assert bad not in pushed
        box.put_back([News("203.0.113.9", "s")])
        await node.until(lambda: box.dropped_total == 1 and len(box) == 1)
        node.bridge.close()

    asyncio.run(run())
