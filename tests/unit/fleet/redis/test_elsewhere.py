"""Sentinel and Cluster: the server that takes writes is found, also when it becomes another."""

import asyncio
from pathlib import Path

from tests.support.redis_server import RedisServer, free_port
from tests.unit.fleet.redis.support import Member, running, until


def test_sentinel_tells_which_server_it_is(tmp_path: Path) -> None:
    """A sentinel that is away is passed over; after a failover the new primary gets everything."""

    async def run() -> None:
        with (
            RedisServer(tmp_path / "one", port=free_port()) as one,
            RedisServer(tmp_path / "two", "--replicaof", f"127.0.0.1 {one.port}", port=free_port()) as two,
        ):
            settings = tmp_path / "sentinel.conf"
            settings.write_text(f"sentinel monitor fleet 127.0.0.1 {one.port} 1\n")
            with _sentinel(tmp_path / "sentinel", settings) as sentinel:
                url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/fleet"
                web, database = Member("web", url=url), Member("db", url=url)
                async with running(web, database):
                    web.ban("ban 192.0.2.1")
                    await until(lambda: database.knows(web), web, database)
                    assert one.cli("DBSIZE") != "0"
                    two.cli("REPLICAOF", "NO", "ONE")
                    sentinel.cli("SENTINEL", "REMOVE", "fleet")
                    sentinel.cli("SENTINEL", "MONITOR", "fleet", "127.0.0.1", str(two.port), "1")
                    one.kill()
                    web.ban("ban 192.0.2.2")
                    await until(lambda: database.knows(web), web, database)
                    assert two.cli("HLEN", "{nodewarden:default}:b:web") == "2"
                unknown = Member("web", url=url.replace("/fleet", "/typo"))
                async with running(unknown):
                    await until(lambda: any("knows no service called typo" in text for text in unknown.problems))
                wrong = Member("web", url=f"redis+sentinel://127.0.0.1:{two.port}/fleet")
                async with running(wrong):
                    await until(lambda: any("is no sentinel" in text for text in wrong.problems))

    asyncio.run(run())


def _sentinel(directory: Path, settings: Path) -> RedisServer:
    server = RedisServer(directory, "--sentinel", port=free_port())
    server.leading = [str(settings)]
    return server


def test_any_server_of_a_cluster_names_the_right_one(tmp_path: Path) -> None:
    """Of two servers one has all slots; we start at the other."""

    async def run() -> None:
        arguments = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
        with (
            RedisServer(tmp_path / "one", *arguments, port=_low_port()) as one,
            RedisServer(tmp_path / "two", *arguments, port=_low_port()) as two,
        ):
            one.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            two.cli("CLUSTER", "MEET", "127.0.0.1", str(one.port))
            await until(lambda: two.cli("GET", "x").startswith("MOVED"))
            url = f"redis+cluster://127.0.0.1:{two.port}"
            web, database = Member("web", url=url), Member("db", url=url)
            plain = Member("plain", url=f"redis://127.0.0.1:{two.port}")
            async with running(web, database, plain):
                web.ban("ban 192.0.2.1")
                await until(lambda: database.knows(web), web, database)
                await until(lambda: any("redis+cluster://" in text for text in plain.problems), plain)
            assert one.cli("HLEN", "{nodewarden:default}:b:web") == "1"

    asyncio.run(run())


def _low_port() -> int:
    """Return a free port whose bus port, 10,000 above, exists."""
    while (port := free_port()) > 55_000:
        pass
    return port
