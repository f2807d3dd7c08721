"""Block lists on a machine as it is installed: the timer's child renews them in its sandbox, the daemon takes them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.node import Node

pytestmark = pytest.mark.system

_UNIT = "nodewarden-lists.service"
_MAX_EXPOSURE = 12  # tenths
_LISTS = """
lists:
  served: {url: "http://localhost:8099/list.txt"}
  kept: {file: /srv/lists/list.txt, set: egress}
"""


def test_exposure_is_as_low_as_it_can_be(tmp_path: Path) -> None:
    """What is left is the Internet, from which lists come, and the sockets of the system."""
    unit = tmp_path / _UNIT
    unit.write_text(Path(f"systemd/{_UNIT}").read_text().replace("@PREFIX@", "/opt/nodewarden"))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_child_renews_lists_and_the_daemon_takes_them(node: Node) -> None:
    """Over HTTP and from a file, as its own user, inside the sandbox; a copy that is gone is fetched again."""
    node.write("/srv/lists/list.txt", "# Licence: free\n198.18.0.1\n20.0.0.1\n20.0.1.0/24\n")
    node.write("/etc/hosts", "127.0.0.1 localhost\n")
    server = ("python3", "-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory", "/srv/lists")
    node.look("systemd-run", "--quiet", "--unit=lists-server", *server)
    wait_for(lambda: node.host.run("curl", "-sf", "http://127.0.0.1:8099/", check=False).returncode == 0, "the server")
    node.configure(_LISTS)
    assert node.systemctl("reload", "nodewarden.service")
    assert node.systemctl("start", _UNIT), node.log(_UNIT)
    rows = {row["name"]: row for row in node.ask("lists", "status")}
    for row in rows.values():
        assert (row["networks"], row["fault"], row["licence"]) == (2, "", "Licence: free")
        wait_for(lambda name=row["name"]: _in_force(node, name) == 2, "the daemon to take it")  # type: ignore[misc]
    owner = node.look("stat", "-c", "%U:%G %a", "/var/lib/nodewarden/lists/served.list").strip()
    assert owner == "nodewarden:nodewarden 640"
    said = node.try_("systemd-analyze", "verify", "--man=no", _UNIT, "nodewarden-lists.timer")
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    assert node.unit("nodewarden-lists.timer", "ActiveState")["ActiveState"] == "active"


def test_a_list_that_fails_fails_the_unit_and_stays(node: Node) -> None:
    """The administrator sees it where failed units are seen, and the text says what is wrong."""
    node.look("systemctl", "stop", "lists-server.service")
    node.configure(_LISTS.replace("list.txt", "none.txt"))
    assert not node.systemctl("start", _UNIT)
    assert re.search(r"served: the server cannot be reached", node.log(_UNIT))
    assert node.path("/var/lib/nodewarden/lists/served.list").exists()
    node.look("systemctl", "reset-failed", _UNIT)
    node.configure()


def test_root_hands_the_work_to_the_account_of_the_daemon(node: Node) -> None:
    """By hand as root: nothing from the Internet is handled as root, and the daemon may read what comes of it."""
    node.configure(_LISTS)
    node.look("rm", "/var/lib/nodewarden/lists/kept.list")
    node.look("nodewarden", "lists", "update", "kept")
    owner = node.look("stat", "-c", "%U", "/var/lib/nodewarden/lists/kept.list").strip()
    assert owner == "nodewarden"
    node.configure()


def _in_force(node: Node, name: str) -> int | None:
    found = {row["name"]: row["in_force"] for row in node.ask("lists", "status")}[name]
    return None if found is None else int(found)
