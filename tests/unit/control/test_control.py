"""The control socket."""

import asyncio
import gc
import socket
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.control.client import DaemonUnreachable, RequestRefused, ask
from monitor.control.protocol import (
    MAX_REQUEST_BYTES,
    BanOrder,
    Reply,
    Request,
    RequestedBan,
    Status,
    Why,
    decode_reply,
)
from monitor.control.server import ControlServer
from monitor.model.errors import PermanentError, TemporaryError


def served(path: Path, handle: Callable[[Request], Reply], client: Callable[[], object]) -> object:
    """Run a client in a thread against a server that answers with `handle`; return what the client returned."""

    async def run() -> object:
        async def answer(request: Request) -> Reply:
            return handle(request)

        server = await ControlServer(path, answer).open("no-such-group")
        try:
            return await asyncio.to_thread(client)
        finally:
            await server.close()

    return asyncio.run(run())


async def answer_yes(_: Request) -> Reply:
    """Answer every request."""
    return Reply(ok=True)


def raw(path: Path, data: bytes) -> Reply:
    """Send bytes as they are and read the reply."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return decode_reply(connection.makefile("rb").readline())


def test_requests_arrive_as_they_were_sent(tmp_path: Path) -> None:
    """A request goes through typed, its reply comes back as plain data."""
    seen: list[Request] = []

    def handle(request: Request) -> Reply:
        seen.append(request)
        return Reply(ok=True, result={"answer": 42})

    path = tmp_path / "control.sock"
    order = BanOrder([RequestedBan("192.0.2.1", 60.0, "because", set="shun")])
    assert served(path, handle, lambda: ask(path, order)) == {"answer": 42}
    assert seen == [order]
    assert not path.exists()


def test_a_refusal_is_a_sentence(tmp_path: Path) -> None:
    """What the handler raises for people reaches them."""

    def handle(_: Request) -> Reply:
        raise TemporaryError("not today")

    path = tmp_path / "control.sock"
    with pytest.raises(RequestRefused, match="not today"):
        served(path, handle, lambda: ask(path, Status()))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\n", "not a request"),
        (b"{}\n", "not a request"),
        (b'{"type":"reboot"}\n', "Invalid value 'reboot'"),
        (b'{"type":"why","network":7}\n', "Expected `str`"),
        (b'{"type":"why","network":"::1","extra":1}\n', "unknown field"),
        (b"x" * (MAX_REQUEST_BYTES + 10) + b"\n", "longer than"),
        (b"\xff\xfe\n", "not a request"),
        (b'{"type":"why","network":"\xff"}\n', "not a request"),
        (b'{"type":"why","network":"\\ud800"}\n', "not a request"),
        (b'{"x":' + b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'{"x":' + b'{"a":' * 100_000 + b"\n", "nested too deeply"),
        (b'{"type":"status"', "not a request"),
        (b"", "not a request"),
    ],
)
def test_what_is_no_request_is_answered_so(tmp_path: Path, data: bytes, says: str) -> None:
    """Nonsense, unknown requests and fields, and endless lines get an error each; the handler never sees them."""
    path = tmp_path / "control.sock"
    reply = served(path, lambda _: pytest.fail("handled"), lambda: raw(path, data))
    assert isinstance(reply, Reply)
    assert not reply.ok
    assert says in reply.error


def test_only_the_owner_may_connect_without_a_group(tmp_path: Path) -> None:
    """Where the group does not exist, the socket is closed to everybody else."""
    path = tmp_path / "control.sock"
    mode = served(path, lambda _: Reply(ok=True), lambda: stat.S_IMODE(path.stat().st_mode))
    assert mode == 0o600


def test_a_socket_that_answers_is_not_taken_over(tmp_path: Path) -> None:
    """A second server refuses to start; a dead socket file is replaced."""
    path = tmp_path / "control.sock"

    def second() -> object:
        with pytest.raises(PermanentError, match="another nodewarden answers"):
            asyncio.run(ControlServer(path, answer_yes).open("no-such-group"))
        return path.exists()

    assert served(path, lambda _: Reply(ok=True), second) is True
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert served(path, lambda _: Reply(ok=True, result=1), lambda: ask(path, Status())) == 1


@pytest.mark.parametrize("turns", range(8))
def test_a_connection_is_closed_however_far_it_came(
    tmp_path: Path, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server stops, no connection stays open that was just being accepted."""
    left: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: left.append(report.exc_value))

    async def stop_early() -> None:
        server = await ControlServer(tmp_path / "control.sock", answer_yes).open("no-such-group")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "control.sock"))
            for _ in range(turns):
                await asyncio.sleep(0)
        await server.close()

    asyncio.run(stop_early())
    gc.collect()
    assert left == []


def test_no_daemon_is_explained(tmp_path: Path) -> None:
    """Without a socket the client says how to start the daemon; with a mute one, that it closed the connection."""
    with pytest.raises(DaemonUnreachable, match="systemctl start nodewarden"):
        ask(tmp_path / "control.sock", Status())
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        threading.Thread(target=_hang_up, args=(mute,), daemon=True).start()
        with pytest.raises(DaemonUnreachable, match="closed the connection"):
            ask(path, Why("::1"))


def _hang_up(server: socket.socket) -> None:
    """Accept one connection and close it without a word."""
    server.accept()[0].close()


@pytest.mark.parametrize("ok", [True, False])
def test_a_name_that_is_not_utf8_prevents_no_answer(tmp_path: Path, *, ok: bool) -> None:
    """A file name of any bytes may be in a notice or an error: it is escaped, and the rest comes as it is."""
    name = b"\xff\x1b[2Jx".decode(errors="surrogateescape")
    reply = Reply(ok=ok, result={name: ["as it is: ü", (name, float("inf"), None)]}, error="" if ok else name)
    path = tmp_path / "control.sock"
    answer = served(path, lambda _: reply, lambda: raw(path, b'{"type":"status"}\n'))
    shown = r"\udcff\x1b[2Jx"
    assert answer == Reply(ok=ok, result={shown: ["as it is: ü", [shown, None, None]]}, error="" if ok else shown)
