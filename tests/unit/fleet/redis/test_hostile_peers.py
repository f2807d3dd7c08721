"""What one node, or anybody who can write to the server, does to the others: nothing but a problem that names it."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from monitor.fleet.redis import bell, directory
from monitor.fleet.redis.keys import FleetKeys
from tests.support.redis_server import RedisServer
from tests.unit.fleet.redis.support import Member, running, until


def _now() -> bytes:
    """Return the engine's time: in a long run, that of the import is long past, and its names with it."""
    return b"%d" % time.time()


HUGE = b"x" * 300_000
"""More than is read as one string."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as one:
        yield one


def _peer(keys: FleetKeys, number: int = 1) -> list[list[bytes]]:
    """Return the commands of a peer `evil` that looks like any other."""
    own = keys.of(b"evil")
    return [[b"SET", own.hello, b"hello"], [b"ZADD", keys.names, _now(), b"evil"],
            [b"SET", own.mark, b"%d token" % number]]  # fmt: skip


def _lines(keys: FleetKeys, *entries: tuple[bytes, ...]) -> list[list[bytes]]:
    return [[b"XADD", keys.of(b"evil").stream, *entry] for entry in entries]


ATTACKS: dict[str, tuple[Callable[[FleetKeys], list[list[bytes]]], str]] = {
    # what is written, and what the others' problem names
    "a huge field": (lambda k: [*_peer(k), [b"HSET", k.of(b"evil").bans, b"ban 192.0.2.1", HUGE]], "node evil"),
    "a huge name of a field": (lambda k: [*_peer(k), [b"HSET", k.of(b"evil").bans, HUGE, b"r"]], "node evil"),
    "a huge pardon": (lambda k: [*_peer(k), [b"HSET", k.of(b"evil").pardons, b"192.0.2.1", HUGE]], "node evil"),
    "a huge line": (lambda k: [*_peer(k, 2), *_lines(k, (b"2-0", b"bban 192.0.2.1", HUGE))], ""),
    "a line of thousands": (lambda k: [*_peer(k, 2), *_lines(k, (b"2-0", *[b"bx", b"r"] * 20_000))], ""),
    "hashes that are strings": (lambda k: [*_peer(k), [b"SET", k.of(b"evil").bans, b"x"]], "node evil"),
    "a mark that is a hash": (lambda k: [*_peer(k)[:2], [b"HSET", k.of(b"evil").mark, b"x", b"y"]], "node evil"),
    "a mark that is none": (lambda k: [*_peer(k)[:2], [b"SET", k.of(b"evil").mark, b"-1 x" + HUGE]], ""),
    "lines that are none": (lambda k: [*_peer(k, 9), *_lines(k, (b"2-7", b"", b""), (b"9-0", b"zq", b"r"))], ""),
    "more bans than are read": (
        lambda k: [*_peer(k), *([b"HSET", k.of(b"evil").bans, b"ban %d" % n, b"r"] for n in range(1500))],
        "more bans than are taken",
    ),
    "a huge name in the bell": (lambda k: [[b"XADD", k.bell, b"*", b"n", HUGE]], "bell"),
    "the last id in the bell": (lambda k: [[b"XADD", k.bell, b"18446744073709551615-1", b"n", b"x"]], ""),
    "names without end in the bell": (lambda k: [[b"XADD", k.bell, b"*", b"n", b"n%d" % n] for n in range(5000)], ""),
    "a bell that is a string": (lambda k: [[b"SET", k.bell, b"x"]], ""),
    "names that are none": (lambda k: [[b"ZADD", k.names, _now(), b"\xff no name %d" % n] for n in range(600)],
                            ""),
    "a huge name in the list": (lambda k: [[b"ZADD", k.names, _now(), HUGE]], "too large"),
    "names that are a string": (lambda k: [[b"SET", k.names, b"x"]], "names"),
    "a huge entry of the allowlist": (lambda k: [[b"HSET", k.allow, b"list", HUGE]], "too large"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_the_others_nothing(server: RedisServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they connect and while they are connected: the others' bans still arrive."""
    monkeypatch.setattr(directory, "_ROUND_S", 0.2)
    monkeypatch.setattr(bell, "BLOCK_S", 0.5)
    monkeypatch.setattr("monitor.fleet.redis.reader.VISIT_S", 0.2)
    write, problem = ATTACKS[name]

    async def run() -> None:
        server.cli("FLUSHALL")
        keys = FleetKeys("t")
        web, database = (Member(one, url=server.url, name="t", max_per_peer=1000) for one in ("web", "db"))
        server.feed(*write(keys))
        async with running(web, database):
            web.ban("ban 192.0.2.1")
            await until(lambda: database.knows(web), web, database)
            for key in (keys.bell, keys.names):
                server.cli("DEL", key)
            server.feed(*write(keys))
            web.ban("ban 192.0.2.2")
            web.unban("ban 192.0.2.1")
            await until(lambda: database.knows(web) and database.is_connected, web, database)
            await until(lambda: any(problem in text for text in database.problems), database)
            assert len(database.peers.get("evil", ())) <= 1300

    asyncio.run(run())
