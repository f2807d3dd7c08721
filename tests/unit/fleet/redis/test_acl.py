"""The users that `fleet init` makes, on a real server: what a node may do, and that all else is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.fleet.redis.acl import acl_lines, administrator_name, user_name
from monitor.fleet.redis.administer import Administrator
from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.settings import FleetSettings
from monitor.model.errors import TemporaryError
from tests.support.redis_server import RedisServer
from tests.unit.fleet.redis.support import Member, running, until

PASSWORD = "password-of-web-0123456789"
OTHERS = "password-of-all-0123456789"
KEYS = FleetKeys("t")
OWN, OTHER = KEYS.of(b"web"), KEYS.of(b"db")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory = tmp_path_factory.mktemp("redis")
    lines = acl_lines("t", {"web": PASSWORD, "db": OTHERS}, OTHERS)
    (directory / "users.acl").write_text("\n".join([*lines, "user default on nopass ~* &* +@all", ""]))
    with RedisServer(directory, "--aclfile", str(directory / "users.acl")) as one:
        yield one


def _member(server: RedisServer, node: str, path: Path, password: str) -> Member:
    file = path / f"{node}.secret"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return Member(node, url=server.url, name="t", username=user_name("t", node), password_file=str(file))


def test_all_that_the_engine_does_is_allowed(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bans, withdrawals, pardons, snapshots, a resync, forgetting, and a bell that somebody broke."""
    monkeypatch.setattr("monitor.fleet.redis.writer.FORGET_S", 0.05)
    monkeypatch.setattr("monitor.fleet.redis.writer.CHECK_S", 0.05)
    monkeypatch.setattr("monitor.fleet.redis.publisher.LINES_S", 0.05)
    monkeypatch.setattr("monitor.fleet.redis.published._GRACE_S", 0.0)

    async def run() -> None:
        web, database = _member(server, "web", tmp_path, PASSWORD), _member(server, "db", tmp_path, OTHERS)
        server.cli("ACL", "LOG", "RESET")
        async with running(web, database):
            web.ban("ban 192.0.2.1", "ban 192.0.2.2")
            web.pardon("192.0.2.4")
            await until(lambda: database.knows(web) and database.pardons, web, database)
            web.ban("ban 192.0.2.3", for_s=0.1)
            server.cli("SET", KEYS.bell, "broken")
            web.unban("ban 192.0.2.1")
            await until(lambda: server.cli("TYPE", KEYS.bell) != "string", web)
            server.cli("DEL", *OWN)
            await until(lambda: server.cli("HKEYS", OWN.bans) == "ban 192.0.2.2", web)
            administrator = Administrator(web.settings, administrator_name("t"), OTHERS)
            await administrator.change({"192.0.2.0/24": "office", "198.51.100.0/24": "home"})
            await administrator.change({}, ["198.51.100.0/24"])
            assert await administrator.allowlist() == {"192.0.2.0/24": "office"}
            await until(lambda: b"192.0.2.0/24" in web.allowlist and len(web.allowlist) == 2, web)
            with pytest.raises(TemporaryError, match="has no right"):
                await Administrator(web.settings, user_name("t", "web"), PASSWORD).change({"0.0.0.0/1": "x"})
        assert server.cli("ACL", "LOG").count("reason") == 1, server.cli("ACL", "LOG")

    asyncio.run(run())


FORBIDDEN: dict[str, tuple[bytes | str, ...]] = {
    "another node's bans": ("HSET", OTHER.bans, "f", "r"),
    "another node's pardons": ("HSET", OTHER.pardons, "f", "r"),
    "another node's lines": ("XADD", OTHER.stream, "*", "f", "r"),
    "another node's mark": ("SET", OTHER.mark, "1 x"),
    "another node's hello": ("SET", OTHER.hello, "x"),
    "deleting another's": ("DEL", OTHER.bans),
    "expiring another's": ("PEXPIREAT", OTHER.bans, "1"),
    "the allowlist": ("HSET", KEYS.allow, "0.0.0.0/0", "x"),
    "deleting the allowlist": ("DEL", KEYS.allow),
    "expiring the allowlist": ("PEXPIREAT", KEYS.allow, "1"),
    "another fleet": ("HLEN", "{nodewarden:other}:b:web"),
    "writing to another fleet": ("HSET", "{nodewarden:other}:b:web", "f", "r"),
    "other keys": ("GETRANGE", "session:1", "0", "1"),
    "every key": ("KEYS", "*"),
    "scanning": ("SCAN", "0"),
    "emptying": ("FLUSHALL",),
    "emptying one": ("FLUSHDB",),
    "the configuration": ("CONFIG", "GET", "*"),
    "users": ("ACL", "LIST"),
    "clients": ("CLIENT", "LIST"),
    "scripts": ("EVAL", "return 1", "0"),
    "saving": ("SAVE",),
    "stopping": ("SHUTDOWN", "NOSAVE"),
    "replication": ("REPLICAOF", "192.0.2.1", "1"),
    "watching all commands": ("MONITOR",),
    "copying": ("COPY", OWN.bans, OTHER.bans),
    "renaming": ("RENAME", OWN.bans, OTHER.bans),
    "messages": ("PUBLISH", "channel", "x"),
    "modules": ("MODULE", "LIST"),
}


def test_all_else_is_refused(server: RedisServer) -> None:
    """For a node's user; and the administrator's has the allowlist and the bell only, and deletes."""
    for what, words in FORBIDDEN.items():
        answer = server.cli(*words, user=user_name("t", "web"), password=PASSWORD)
        assert answer.startswith("NOPERM"), (what, answer)
        if words[0] != "DEL" and KEYS.allow not in words[1:2]:
            answer = server.cli(*words, user=administrator_name("t"), password=OTHERS)
            assert answer.startswith("NOPERM"), (what, answer)
    for words in (("HSET", OWN.bans, "f", "r"), ("DEL", "session:1"), ("DEL", "{nodewarden:other}:names")):
        answer = server.cli(*words, user=administrator_name("t"), password=OTHERS)
        assert answer.startswith("NOPERM"), words


def test_the_administrator_may_do_what_the_documentation_asks_for(server: RedisServer) -> None:
    """`default` is off, so nobody else could: load another ACL file, look at the memory, delete a key; no node may."""
    server.cli("SET", KEYS.names, "broken")
    for words, expected in ((("ACL", "LOAD"), "OK"), (("INFO", "memory"), "# Memory"), (("DEL", KEYS.names), "1")):
        assert server.cli(*words, user=user_name("t", "web"), password=PASSWORD).startswith("NOPERM"), words
        answer = server.cli(*words, user=administrator_name("t"), password=OTHERS)
        assert answer.startswith(expected), (words, answer)


def test_names_of_users_fit_the_setting_and_are_unique() -> None:
    """Also those of the longest names; no password stands in a line."""
    longest = ["a" * 62 + "a", "a" * 62 + "b"]
    names = {user_name("f" * 32, node) for node in longest} | {administrator_name("f" * 32)}
    assert len(names) == 3
    assert all(FleetSettings(username=name) for name in names)
    assert max(map(len, names)) <= 64
    assert administrator_name("t") not in {user_name("t", node) for node in ("admin", "administrator")}
    assert user_name("a", "b-c") != user_name("a-b", "c"), "fleets share a server: a user belongs to one of them"
    assert PASSWORD not in "".join(acl_lines("t", {"web": PASSWORD}, OTHERS))
    with pytest.raises(ValueError, match="16 characters"):
        acl_lines("t", {"web": "short"}, OTHERS)
