"""Servers that are none, that hang, or that refuse: each is one clear sentence, and never the password."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from monitor.fleet.redis import dial, link, resolver
from tests.support.redis_server import RedisServer, free_port
from tests.unit.fleet.redis.support import Member, running, until

PASSWORD = "never-in-a-text-0123456789"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def says(*answers: bytes) -> Answer:
    """Answer the requests one after the other, each with the next."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for data in answers:
            await reader.read(4096)
            writer.write(data)
            await writer.drain()
        await reader.read()

    return answer


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"$4000\r\n")
    while not reader.at_eof():
        writer.write(b"x")
        await asyncio.sleep(0.05)


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"+OK\r\n")
    for _ in range(1000):
        writer.write(b"*1\r\n" * 10_000)
        await writer.drain()


SERVERS: dict[str, tuple[Answer, str]] = {
    "a web server": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "is no Redis server"),
    "garbage": (says(bytes(range(128, 256)) * 100), "is no Redis server"),
    "garbage later": (says(b"+OK\r\n", b":1\r\n", b"@!\r\n"), "is no Redis server"),
    "mail": (says(b"220 mail.example.org ESMTP\r\n"), "is no Redis server"),
    "a number that is none": (says(b":x\r\n"), "is no Redis server"),
    "a negative length": (says(b"+OK\r\n", b"$-7\r\n"), "is no Redis server"),
    "a length of gigabytes": (says(b"+OK\r\n", b"$5000000000\r\n"), "what no node writes"),
    "a list of millions": (says(b"+OK\r\n", b"*9999999\r\n"), "what no node writes"),
    "lists without end": (floods, "what no node writes"),
    "hangs at once": (hangs, "does not answer"),
    "hangs later": (says(b"+OK\r\n", b":1\r\n"), "does not answer"),
    "hangs within a reply": (says(b"+OK\r\n", b"$100\r\nabc"), "does not answer"),
    "drips": (drips, "does not answer"),
    "hangs up": (hangs_up, "closed the connection"),
    "wrong password": (says(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
                       "refuses the user name or the password: compare them"),
    "no password there": (says(b"-ERR AUTH <password> called without any password configured for the default user. "
                               b"Are you sure your configuration is correct?\r\n"), "it has no password"),
    "protected mode": (says(b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n"),
                       "protected mode"),
    "too many clients": (says(b"-ERR max number of clients reached\r\n"), "raise maxclients"),
    "loading": (says(b"+OK\r\n", b"-LOADING Redis is loading the dataset in memory\r\n"), "still loading"),
    "without its primary": (says(b"+OK\r\n", b"-MASTERDOWN Link with MASTER is down\r\n"), "lost its primary"),
    "part of a cluster": (says(b"+OK\r\n", b"-MOVED 5000 192.0.2.1:6379\r\n"), "redis+cluster://"),
    "moved to nowhere": (says(b"+OK\r\n", b"-MOVED nowhere\r\n"), "nowhere"),
    "a cluster that is down": (says(b"+OK\r\n", b"-CLUSTERDOWN The cluster is down\r\n"), "the cluster is down"),
    "no permission": (says(b"+OK\r\n", b"-NOPERM this user has no permissions to access a key\r\n"), "has no right"),
    "too old": (says(b"+OK\r\n", b"-ERR unknown command `EXISTS`\r\n"), "older than Redis 7.0"),
    "terminal codes": (says(b"+OK\r\n", b"-ERR \x1b[31mred\x07 " + b"x" * 900 + b"\r\n"), "red"),
}  # fmt: skip


def test_each_bad_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, since most of it is waiting."""
    monkeypatch.setattr(link, "REPLY_S", 0.4)
    monkeypatch.setattr(dial, "REPLY_S", 0.4)
    monkeypatch.setattr(link, "CONNECT_S", 0.4)
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)

    async def one(name: str) -> None:
        answer, expected = SERVERS[name]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await answer(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        member = Member("web", url=f"redis://user@127.0.0.1:{port}", password_file=str(secret))
        member.ban("ban 192.0.2.1")
        async with running(member):
            await until(lambda: len(member.problems) > 2, member)
        server.close()
        text = member.problems[-1]
        assert expected in text, (name, text)
        assert len(text) < 300, (name, text)
        assert text.isprintable(), (name, text)
        assert PASSWORD not in "".join(member.problems)
        assert not member.is_connected
        assert list(member.live) == [b"ban 192.0.2.1"]

    async def run() -> None:
        await asyncio.gather(*(one(name) for name in SERVERS))

    asyncio.run(run())


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens, the name is none, DNS hangs, the password cannot be read."""

    asked: list[str] = []
    release = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        release.wait(20)
        return []

    async def problem(**settings: str) -> str:
        member = Member("web", **settings)
        async with running(member):
            await until(lambda: len(member.problems) > 2, member)
        return member.problems[-1]

    async def run() -> None:
        port = free_port()
        assert "cannot be reached: Connection refused" in await problem(url=f"redis://127.0.0.1:{port}")
        assert "No such file" in await problem(url=f"unix://{tmp_path}/none.sock")
        missing = str(tmp_path / "none")
        assert "none cannot be read" in await problem(url=f"redis://127.0.0.1:{port}", password_file=missing)
        assert "no password" in await problem(url=f"redis://127.0.0.1:{port}", username="web")
        monkeypatch.setattr(resolver, "LOOKUP_S", 0.1)
        monkeypatch.setattr("socket.getaddrinfo", hang)
        assert "DNS does not answer" in await problem(url="redis://redis.example.org")
        assert asked == ["redis.example.org"]
        release.set()

    asyncio.run(run())


def test_a_refusal_is_a_problem_while_the_server_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full memory, a replica, a password file that others read: reading goes on, and it ends when it ends."""

    monkeypatch.setattr("monitor.fleet.redis.writer._RETRY_S", (0.1, 0.2))

    async def run() -> None:
        secret = tmp_path / "secret"
        secret.write_text("password-0123456789")
        secret.chmod(0o644)
        with RedisServer(tmp_path / "redis", "--maxmemory-policy", "noeviction") as server:
            server.cli("ACL", "SETUSER", "default", ">password-0123456789")
            member = Member("web", url=server.url, password_file=str(secret))
            async with running(member):
                await until(lambda: "can be read or written by every user" in member.problems[-1], member)
                secret.chmod(0o600)
                member.ban("ban 192.0.2.1")
                await until(lambda: not member.waiting, member)
                for command, back, text in (
                    (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "its memory is full"),
                    (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read-only replica"),
                ):
                    server.cli(*command, user="default", password="password-0123456789")
                    member.ban(f"ban 2001:db8::{len(text):x}")
                    await until(lambda text=text: text in member.problems[-1], member)  # type: ignore[misc]
                    assert member.is_connected
                    server.cli(*back, user="default", password="password-0123456789")
                    await until(lambda: not member.waiting, member)
                    await until(lambda text=text: text not in member.problems[-1], member)  # type: ignore[misc]

    asyncio.run(run())


class Proxy:
    """Passes bytes on to a server, or holds all of them back: connections stay open and nothing comes through."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.passes = asyncio.Event()
        self.passes.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection, in both directions."""
        await self.passes.wait()
        other_reader, other_writer = await asyncio.open_unix_connection(str(self._path))
        try:
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
        finally:
            writer.transport.abort()
            other_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self.passes.wait()
                writer.write(data)
        writer.close()


def test_a_server_that_hangs_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided meanwhile is published and read then; attempts go on however often they fail."""
    monkeypatch.setattr(link, "REPLY_S", 0.3)
    monkeypatch.setattr(dial, "REPLY_S", 0.3)
    monkeypatch.setattr("monitor.fleet.redis.writer.CHECK_S", 0.1)

    async def run() -> None:
        with RedisServer(tmp_path) as server:
            proxy = Proxy(server.path)
            listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
            url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            web, database = Member("web", url=url), Member("db", url=url)
            async with running(web, database):
                web.ban("ban 192.0.2.1", "ban 192.0.2.2")
                await until(lambda: database.knows(web), web, database)
                proxy.passes.clear()
                web.unban("ban 192.0.2.1")
                web.ban("ban 192.0.2.3")
                for member in (web, database):
                    await until(lambda member=member: len(member.problems) > 5, member)  # type: ignore[misc]
                assert len(database.peers["web"]) == 2
                proxy.passes.set()
                await until(lambda: database.knows(web) and web.is_connected, web, database)
            listener.close()

    asyncio.run(run())
