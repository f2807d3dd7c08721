"""The control socket when the process has no descriptor left, and when more wait for it than can."""

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from monitor.control.client import DaemonUnreachable, ask
from monitor.control.protocol import ListBans, Reply, Request, Status, decode_reply, encode
from monitor.control.server import ControlServer
from monitor.model.errors import PermanentError


@contextmanager
def _without_descriptors() -> Iterator[None]:
    """Use up every descriptor of this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
    try:
        try:
            while True:
                used.append(os.dup(2))
        except OSError:
            yield
    finally:
        for descriptor in used:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def _answer(request: Request) -> Reply:
    return Reply(ok=True, result="here")


def test_a_connection_that_cannot_be_accepted_is_tried_once_a_second(tmp_path: Path) -> None:
    """One attempt for each connection, not one for each place in the queue; it is answered as soon as it can be."""
    path = tmp_path / "control.sock"
    attempts: list[dict[str, object]] = []

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: attempts.append(context))
        server = await ControlServer(path, _answer).open("no-such-group")
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            with _without_descriptors():
                client.connect(str(path))
                client.sendall(encode(Status()))
                while not attempts:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
            line = await asyncio.wait_for(loop.sock_recv(client, 1000), 10)
        await server.close()
        return line

    line = asyncio.run(run())
    assert decode_reply(line).result == "here"
    assert len(attempts) == 1


def test_many_commands_wait_in_the_queue(tmp_path: Path) -> None:
    """While the loop is busy fifty commands connect, and all of them are answered."""
    path = tmp_path / "control.sock"

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        server = await ControlServer(path, _answer).open("no-such-group")
        clients = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for client in clients:
            client.setblocking(False)
            client.connect(str(path))
            client.sendall(encode(Status()))
        lines = [await asyncio.wait_for(loop.sock_recv(client, 1000), 10) for client in clients]
        for client in clients:
            client.close()
        await server.close()
        return lines

    assert len([decode_reply(line) for line in asyncio.run(run())]) == 50


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    """As many connect as may wait, and send nothing: a command waits until it has its turn, and says so if it has not.

    Neither is the socket taken over meanwhile, as if nobody answered.
    """
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as idle:
        listener.bind(str(path))
        listener.listen(2)
        for _ in range(3):
            idle.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        with pytest.raises(PermanentError, match="another nodewarden answers"):
            asyncio.run(ControlServer(path, _answer).open("no-such-group"))
        asked = ThreadPoolExecutor(1).submit(ask, path, ListBans(limit=1))
        time.sleep(0.1)
        assert not asked.done()
        for _ in range(3):
            listener.accept()[0].close()
        link, _ = listener.accept()
        with link:
            assert link.recv(1000)
            link.sendall(encode(Reply(ok=True, result="here")))
        assert asked.result(10) == "here"


def test_a_queue_that_stays_full_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as idle:
        listener.bind(str(path))
        listener.listen(0)
        idle.connect(str(path))
        with pytest.raises(DaemonUnreachable, match="did not answer within 3 s"):
            ask(path, Status())
