"""Engines of several nodes over a real server: all know what each has in force, whatever happens to the server."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.fleet.redis.keys import FleetKeys
from tests.support.redis_server import RedisServer
from tests.unit.fleet.redis.support import Member, running, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as one:
        yield one


def members(server: RedisServer, fleet: str, *names: str) -> list[Member]:
    return [Member(name, url=server.url, name=fleet) for name in names]


def test_bans_withdrawals_and_pardons_reach_everybody(server: RedisServer) -> None:
    """Also what was decided before the others came, and what they say of themselves."""

    async def run() -> None:
        web, database, late = members(server, "reach", "web", "db", "late")
        web.ban("ban 192.0.2.1", "ban 192.0.2.2")
        async with running(web, database):
            await until(lambda: database.knows(web), web, database)
            database.ban("ban 198.51.100.7")
            web.ban("ban 192.0.2.3", record=b"longer")
            web.unban("ban 192.0.2.1")
            web.pardon("203.0.113.9")
            await until(lambda: database.knows(web) and web.knows(database), web, database)
            await until(lambda: database.pardons == {b"203.0.113.9"}, web, database)
            async with running(late):
                await until(lambda: late.knows(web) and late.knows(database), late)
                assert late.pardons == {b"203.0.113.9"}
                await until(lambda: web.hellos.get("late") == b"hello of late", web)
        assert (database.snapshots, set(database.problems)) == (["web", "late"], {""})

    asyncio.run(run())


def test_a_burst_arrives_whole_and_in_order(server: RedisServer) -> None:
    """More than a stream's reader takes at once, with records of very different sizes."""

    async def run() -> None:
        web, database = members(server, "burst", "web", "db")
        async with running(web, database):
            await until(lambda: database.knows(web), web, database)
            for number in range(4000):
                web.ban(f"ban 2001:db8::{number:x}", record=b"r" * (number % 900))
            web.unban(*(f"ban 2001:db8::{number:x}" for number in range(0, 4000, 2)))
            await until(lambda: not web.waiting and database.knows(web), web, database)
            web.ban("ban 2001:db8::0", record=b"again")
            await until(lambda: database.knows(web), web, database)

    asyncio.run(run())


def test_a_wiped_server_is_filled_again_and_nothing_ends(server: RedisServer) -> None:
    """The owner notices by itself; a reader that had read all is not made to read all again."""

    async def run() -> None:
        web, database = members(server, "wiped", "web", "db")
        async with running(web, database):
            web.ban(*(f"ban 192.0.2.{number}" for number in range(100)))
            await until(lambda: database.knows(web), web, database)
            web.ban("ban 192.0.2.200")  # whoever has its line has read all before
            await until(lambda: database.knows(web), web, database)
            read = list(database.snapshots)
            keys = FleetKeys("wiped")
            server.cli("DEL", *keys.of(b"web"), *keys.of(b"db"), keys.bell, keys.names)
            web.ban("ban 198.51.100.1")
            await until(lambda: database.knows(web), web, database)
            await until(lambda: server.cli("HLEN", keys.of(b"web").bans) == "102", web)
            assert database.snapshots == read
            server.cli("DEL", keys.of(b"web").bans)  # evicted
            await until(lambda: server.cli("HLEN", keys.of(b"web").bans) == "102", web, database)
            assert database.knows(web)

    asyncio.run(run())


def test_a_killed_server_is_filled_again(tmp_path: Path) -> None:
    """With what changed meanwhile; nothing that peers have in force ends while it is away."""

    async def run() -> None:
        with RedisServer(tmp_path) as server:
            web, database = members(server, "killed", "web", "db")
            async with running(web, database):
                web.ban(*(f"ban 192.0.2.{number}" for number in range(100)))
                await until(lambda: database.knows(web), web, database)
                server.kill()
                await until(lambda: not web.is_connected and not database.is_connected, web, database)
                assert len(database.peers["web"]) == 100
                web.unban("ban 192.0.2.1")
                web.ban("ban 198.51.100.1")
                server.start()
                await until(lambda: web.is_connected and database.knows(web), web, database)
                assert server.cli("HLEN", FleetKeys("killed").of(b"web").bans) == "100"

    asyncio.run(run())


@pytest.mark.parametrize("differences", [3, 2000])
def test_a_restarted_node_makes_the_server_equal(server: RedisServer, differences: int) -> None:
    """What it no longer has in force ends everywhere, be it little or much."""

    async def run() -> None:
        fleet = f"restart{differences}"
        before, database = members(server, fleet, "web", "db")
        after = members(server, fleet, "web")[0]
        async with running(database):
            async with running(before):
                before.ban("ban 192.0.2.1", *(f"ban 2001:db8::{number:x}" for number in range(differences)))
                before.pardon("203.0.113.9")
                await until(lambda: not before.waiting and database.knows(before), before, database)
            after.ban("ban 192.0.2.1", *(f"ban 2001:db8:1::{number:x}" for number in range(differences)))
            async with running(after):
                await until(lambda: database.knows(after), after, database)
                own = FleetKeys(fleet).of(b"web")
                assert server.cli("HLEN", own.bans) == str(differences + 1)
                assert server.cli("HLEN", own.pardons) == "0"

    asyncio.run(run())


def test_a_reader_that_missed_lines_reads_all(server: RedisServer) -> None:
    """The stream is short; who was away longer than it lasts sees a gap in the numbers."""

    async def run() -> None:
        web, database = members(server, "gap", "web", "db")
        async with running(web):
            async with running(database):
                web.ban("ban 192.0.2.1", "ban 192.0.2.2")
                await until(lambda: database.knows(web), web, database)
            web.unban("ban 192.0.2.1")
            web.ban("ban 192.0.2.3")
            await until(lambda: not web.waiting, web)
            own = FleetKeys("gap").of(b"web")
            await until(lambda: server.cli("HEXISTS", own.bans, "ban 192.0.2.3") == "1", web)
            server.cli("XTRIM", own.stream, "MAXLEN", "0")
            async with running(database):
                await until(lambda: database.knows(web), web, database)

    asyncio.run(run())


def test_what_ended_is_taken_out_of_the_server(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers know when it ends, so nobody is told; keys of a node that is gone end by themselves."""

    async def run() -> None:
        monkeypatch.setattr("monitor.fleet.redis.writer.FORGET_S", 0.1)
        monkeypatch.setattr("monitor.fleet.redis.published._GRACE_S", 0.1)
        web, database = members(server, "ended", "web", "db")
        async with running(web, database):
            web.ban("ban 192.0.2.1", for_s=3.0)
            web.ban("ban 192.0.2.2", for_s=7200.0)
            await until(lambda: database.knows(web), web, database)
            own = FleetKeys("ended").of(b"web")
            await until(lambda: server.cli("HKEYS", own.bans) == "ban 192.0.2.2", web)
            assert len(database.peers["web"]) == 2
            for key in (own.bans, own.stream):
                assert abs(float(server.cli("PEXPIRETIME", key)) / 1000 - time.time() - 7200) < 100
            assert float(server.cli("PTTL", own.mark)) > 0

    asyncio.run(run())


def test_the_allowlist_is_handed_on(server: RedisServer) -> None:
    """Each time that it changes, as soon as the bell rings."""

    async def run() -> None:
        (web,) = members(server, "allow", "web")
        keys = FleetKeys("allow")
        async with running(web):
            await until(lambda: web.is_connected, web)
            for reason in (b"office", b"office, and more"):
                server.feed([b"HSET", keys.allow, b"192.0.2.0/24", reason, b"list", b"id"],
                            [b"XADD", keys.bell, b"*", b"n", b"!allow"])  # fmt: skip
                expected = {b"192.0.2.0/24": reason, b"list": b"id"}
                await until(lambda expected=expected: web.allowlist == expected, web)  # type: ignore[misc]

    asyncio.run(run())


def test_two_nodes_of_one_name_are_noticed(server: RedisServer) -> None:
    """One of them stops and says so; a restart of a node is none."""

    async def run() -> None:
        one, other = members(server, "names", "web", "web")
        async with running(one, other):
            await until(lambda: any("called web, too" in text for text in (*one.problems, *other.problems)), one, other)

    asyncio.run(run())


def test_a_full_inbox_is_waited_for(server: RedisServer) -> None:
    """What is not read stays at the server, and costs no memory here."""

    async def run() -> None:
        web, database = members(server, "busy", "web", "db")
        async with running(web, database):
            await until(lambda: database.knows(web), web, database)
            database.is_busy = True
            web.ban(*(f"ban 2001:db8::{number:x}" for number in range(3000)))
            await until(lambda: not web.waiting, web)
            assert database.lines < 1500
            database.is_busy = False
            await until(lambda: database.knows(web), web, database)

    asyncio.run(run())


def test_an_overrun_outbox_is_published_as_a_whole(server: RedisServer) -> None:
    """Changes that were dropped are in force all the same, and their withdrawals too."""

    async def run() -> None:
        web, database = members(server, "overrun", "web", "db")
        async with running(web, database):
            web.ban(*(f"ban 2001:db8::{number:x}" for number in range(100)))
            await until(lambda: database.knows(web), web, database)
            web.unban(*(f"ban 2001:db8::{number:x}" for number in range(50)))
            web.ban("ban 192.0.2.1")
            web.waiting.clear()
            web.is_overrun = True
            web.engine.wake()
            await until(lambda: not web.is_overrun and database.knows(web), web, database)

    asyncio.run(run())
