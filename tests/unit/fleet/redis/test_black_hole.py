"""A server that is lost and then drops packets: the engine tries for as long as that lasts."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, free_port
from tests.unit.fleet.redis.support import Member, running, until


@contextlib.contextmanager
def _black_hole(port: int) -> Iterator[None]:
    """Drop SYNs to a port of loopback: what Linux does when a listener's queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        yield


def test_a_black_hole_after_a_lost_session_does_not_end_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in one of the session's tasks leaves no trace in the task that connects again (Python before 3.12)."""
    monkeypatch.setattr("monitor.fleet.redis.link.CONNECT_S", 0.1)
    monkeypatch.setattr("monitor.fleet.redis.engine.FIRST_WAIT_S", 0.1)

    async def run() -> None:
        port = free_port()
        with RedisServer(tmp_path, port=port) as server:
            member = Member("web", url=f"redis://127.0.0.1:{port}", name="hole")
            async with running(member):
                await until(lambda: member.is_connected, member)
                server.kill()
                await until(lambda: not member.is_connected, member)
                with _black_hole(port):
                    tried = len(member.problems)
                    await until(lambda: len(member.problems) > tried + 2, member)
                    assert "does not answer" in member.problems[-1]
                server.start()
                await until(lambda: member.is_connected, member)

    asyncio.run(run())
