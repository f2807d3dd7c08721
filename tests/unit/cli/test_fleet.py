"""The command line of the fleet: what `init` makes is what a real server and a node take; the allowlist; reports."""

import re
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from monitor.cli.fleet import fleet_group
from monitor.cli.fleet_init import files_of
from monitor.cli.main import cli
from monitor.cli.target import Target
from monitor.control.fleet_requests import FleetPardon, FleetStatus
from monitor.control.protocol import AllowList, BanOrder, Request, Unban
from monitor.fleet.comparison import differing
from monitor.fleet.presentation import show_node, summary
from monitor.model.errors import TemporaryError
from monitor.settings.load import load
from tests.support.fleet_view import node, view
from tests.unit.config.support import write


class _Daemon(Target):
    """Notes what it is asked, and answers as told."""

    def __init__(self, *results: Any) -> None:
        super().__init__(Path("/nowhere"))
        self.asked: list[Request] = []
        self.results = list(results)

    def ask(self, request: Request) -> Any:
        self.asked.append(request)
        return self.results.pop(0)


def _run(words: list[str], daemon: Target | None = None, **more: Any) -> Result:
    command: click.Command = cli
    while isinstance(command, click.Group):
        command, words = command.commands[words[0]], words[1:]
    return CliRunner().invoke(command, words, obj=daemon or _Daemon(), **more)


def _page(*nodes: Any, **more: Any) -> dict[str, Any]:
    fleet = view(*nodes, **more)
    shown = [show_node(one) for one in sorted(fleet.nodes, key=lambda one: one.name)]
    return {"fleet": summary(fleet, [(one, 70.0) for one in differing(fleet.nodes)]), "nodes": shown, "after": ""}


def test_init_makes_settings_that_a_node_takes(tmp_path: Path) -> None:
    """For each node its own user and password; nothing is in the clear at the server, nothing is made twice."""
    files = files_of("prod", "rediss://redis.example.org:7000", "web-1, db-1", with_administrator=True)
    assert sorted(files) == sorted(
        ["administrator.password", "server/redis.conf", "server/users.acl"]
        + [f"{name}/{file}" for name in ("web-1", "db-1") for file in ("60-fleet.yaml", "fleet.password")]
    )
    passwords = [text.strip() for name, text in files.items() if name.endswith(".password")]
    assert len({*passwords}) == 3
    assert not any(password in files["server/users.acl"] for password in passwords)
    assert files["server/users.acl"].splitlines()[0] == "user default off resetpass resetchannels -@all"
    loaded = load(write(tmp_path, files["db-1/60-fleet.yaml"])).settings.fleet
    assert (loaded.url, loaded.name, loaded.node) == ("rediss://redis.example.org:7000", "prod", "db-1")
    assert f"user {loaded.username} on #" in files["server/users.acl"]
    assert "tls-port 7000" in files["server/redis.conf"]
    more = files_of("prod", "redis://h", "web-2", with_administrator=False)
    assert "administrator.password" not in more
    assert len(more["server/users.acl"].splitlines()) == 2


def test_init_writes_what_only_its_owner_reads(tmp_path: Path) -> None:
    """And never over what is there: those passwords may be in use."""
    out = tmp_path / "fleet"
    done = _run(["fleet", "init", "--nodes", "web-1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) == 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    before = {path: path.read_text() for path in written}
    again = _run(["fleet", "init", "--nodes", "web-1", "--out", str(out)])
    assert "exists already" in str(again.exception)
    assert {path: path.read_text() for path in written} == before
    printed = _run(["fleet", "init", "--nodes", "web-1"]).output
    assert "node: web-1" in printed


@pytest.mark.parametrize(
    "words", [["--nodes", "Web 1"], ["--nodes", "a,a"], ["--url", "http://x"], ["--name", "a b"], ["--url", ""]]
)
def test_init_refuses_names_that_no_node_can_have(words: list[str]) -> None:
    """An error of usage, before any password is made; it says what a name consists of."""
    done = _run(["fleet", "init", *words])
    assert done.exit_code == 2
    assert all("consists of" in done.output for word in words if word in ("Web 1", "a b"))
    assert "password" not in done.output


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Run redis-server with the users that `init` made, on a socket of its own; yield the files."""
    out, socket = tmp_path / "fleet", tmp_path / "redis.sock"
    assert _run(["fleet", "init", "--nodes", "web-1", "--url", f"unix://{socket}", "--out", str(out)]).exit_code == 0
    settings = (out / "server/redis.conf").read_text().replace("/etc/redis/users.acl", str(out / "server/users.acl"))
    file = tmp_path / "redis.conf"
    file.write_text(f"{settings}port 0\nunixsocket {socket}\ndir {tmp_path}\nlogfile {tmp_path}/log\n")
    process = subprocess.Popen(["redis-server", file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + 10
        while not socket.exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        yield {"socket": socket, "admin": out / "administrator.password", "node": out / "web-1/fleet.password"}
    finally:
        process.kill()
        process.wait()


def _allow(server: dict[str, Path], *words: str, who: str = "admin", **more: Any) -> Result:
    place = ["--fleet", "--admin-url", f"unix://{server['socket']}", "--admin-password-file", str(server[who])]
    return _run(["allow", *words, *place], **more)


def test_the_administrator_changes_the_allowlist(server: dict[str, Path]) -> None:
    """At a real server, with the users that `init` made; and nobody else does, however well they are known."""
    done = _allow(server, "add", "192.0.2.0/24", "2001:db8::1", "--reason", "our office")
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert "192.0.2.0/24: on the fleet's allowlist" in done.output
    assert _allow(server, "add", "198.51.100.7").exit_code == 0  # the list is there by now
    wide = _allow(server, "add", "128.0.0.0/1")
    assert (wide.exit_code, "wider than /8" in wide.output) == (1, True)
    gone = _allow(server, "remove", "192.0.2.0/24", "203.0.113.9")
    assert gone.exit_code == 1
    assert "192.0.2.0/24: no longer on" in gone.output
    assert "203.0.113.9: was not on" in gone.output
    node_user = _allow(server, "add", "192.0.2.9", "--admin-user", "nodewarden:default:web-1", who="node")
    assert isinstance(node_user.exception, TemporaryError)
    assert "no right" in str(node_user.exception)
    wrong = _allow(server, "add", "192.0.2.9", who="node")
    assert isinstance(wrong.exception, TemporaryError)
    password = server["node"].read_text().strip()
    assert password not in str(wrong.exception)


def test_the_password_comes_from_a_file_the_environment_or_a_question(server: dict[str, Path]) -> None:
    """Never from the command line, where every user of the machine could read it."""
    password = server["admin"].read_text().strip()
    place = ["allow", "add", "192.0.2.1", "--fleet", "--admin-url", f"unix://{server['socket']}"]
    assert _run(place, env={"NODEWARDEN_FLEET_PASSWORD": password}).exit_code == 0
    asked = _run(place, input=f"{password}\n", env={"NODEWARDEN_FLEET_PASSWORD": ""})
    assert asked.exit_code == 0
    assert password not in asked.output
    nobody = _run(place, env={"NODEWARDEN_FLEET_PASSWORD": ""})
    assert (nobody.exit_code, "no password: give --admin-password-file" in nobody.output) == (2, True)
    options = set(re.findall(r"--[\w-]+", _run(["allow", "add", "--help"]).output))
    assert {one for one in options if "password" in one} == {"--admin-password-file"}
    in_url = _run([*place[:-1], f"redis://x:{password}@h", "--admin-user", "x"])
    assert (in_url.exit_code, password in in_url.output) == (2, False)


def test_options_of_the_fleet_need_it() -> None:
    """A pardon of a whole node, a time without a pardon, a shared ban of a destination: errors of usage."""
    for words in (
        ["unban", "--all", "--fleet"],
        ["unban", "192.0.2.1", "--for", "1h"],
        ["unban", "192.0.2.1", "--reason", "x"],
        ["ban", "192.0.2.1", "--egress", "--fleet"],
        ["allow", "add", "192.0.2.1", "--admin-url", "redis://h"],
    ):
        assert _run(words).exit_code == 2, words


def test_orders_for_the_fleet_go_to_the_daemon() -> None:
    """A ban as an order for all, an unban as a pardon with a time and a reason."""
    done = [{"network": "192.0.2.1", "done": True, "text": "x"}]
    daemon = _Daemon(done, done, done)
    assert _run(["ban", "192.0.2.1", "--fleet"], daemon).exit_code == 0
    assert _run(["unban", "192.0.2.1", "--fleet", "--for", "2h", "--reason", "mistake"], daemon).exit_code == 0
    assert _run(["unban", "192.0.2.1"], daemon).exit_code == 0
    ban, pardon, unban = daemon.asked
    assert isinstance(ban, BanOrder)
    assert ban.fleet
    assert pardon == FleetPardon(["192.0.2.1"], 7200.0, "mistake")
    assert unban == Unban(["192.0.2.1"])


def test_the_fleets_entries_can_be_listed_alone() -> None:
    """As this node has them, by their reason."""
    entries = [{"network": "192.0.2.0/24", "reason": "fleet: office"}, {"network": "::1", "reason": "own address"}]
    output = _run(["allow", "list", "--fleet"], _Daemon(entries)).output
    assert "192.0.2.0/24" in output
    assert "::1" not in output
    assert isinstance(_Daemon(entries).ask(AllowList()), list)


def test_status_names_the_odd_ones() -> None:
    """In words; exit code 1 while the server cannot be used."""
    page = _page(node("web-1", allowlist="x"), node("web-2"), mode="enforce")
    done = _run(["fleet", "status"], _Daemon(page))
    assert done.exit_code == 0
    assert "3 of 3 nodes alive" in done.output
    assert "differs for 1m 10s: web-1: other allowlist than 2 of 3" in done.output
    assert "here (this)" in done.output
    away = _run(["fleet", "status"], _Daemon(_page(is_connected=False, problem="wrong password")))
    assert away.exit_code == 1
    assert "has not answered for 1h: wrong password" in away.output
    assert "in no fleet" in _run(["fleet", "status"], _Daemon({"fleet": None, "nodes": [], "after": ""})).output


def test_status_reads_page_after_page() -> None:
    """All nodes are listed, however many there are."""
    first, last = _page(node("web-1")), _page(node("web-2"))
    daemon = _Daemon(first | {"after": "web-1"}, last)
    assert {"web-1", "web-2"} <= set(_run(["fleet", "status"], daemon).output.split())
    assert daemon.asked == [FleetStatus(), FleetStatus(after="web-1")]


def test_diff_says_what_is_known_and_what_is_not() -> None:
    """Of the allowlist the parts that nodes tell, of the configuration that only a digest is known."""
    one = node(
        "web-1", allowlist="x", configuration="y", version="2", drift=3, allowed={"192.0.2.1": "office"}, audit="z"
    )
    page = _page(one, node("web-2", allowed={"192.0.2.2": ""}))
    done = _run(["fleet", "diff", "web-1", "web-2"], _Daemon(page))
    assert done.exit_code == 1
    assert "only on web-1: 192.0.2.1 (office); only on web-2: 192.0.2.2" in done.output
    assert "nodes tell a digest only" in done.output
    assert "web-1: 2; web-2: 1.0" in done.output
    assert "changed the table of web-1 3 times, web-2 0" in done.output
    assert "web-2 had none" in done.output
    same = _run(["fleet", "diff", "web-1", "web-2"], _Daemon(_page(node("web-1"), node("web-2"))))
    assert (same.exit_code, "do not differ" in same.output) == (0, True)
    many = {f"192.0.2.{number}": "" for number in range(32)}
    cut = _run(
        ["fleet", "diff", "a", "b"], _Daemon(_page(node("a", allowlist="x", allowed=many), node("b", allowed=many)))
    )
    assert "nodes tell 32 entries at most" in cut.output
    unknown = _run(["fleet", "diff", "web-1", "web-9"], _Daemon(page))
    assert "no node 'web-9'" in str(unknown.exception)


def test_help_names_every_command() -> None:
    """The group's."""
    assert sorted(fleet_group.commands) == ["diff", "init", "status", "trust"]
