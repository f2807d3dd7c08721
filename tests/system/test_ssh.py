"""A real sshd under a real brute force."""

import pytest

from tests.support.daemon import wait_for
from tests.support.lab import Host
from tests.support.node import UNIT, Node
from tests.support.root_image import PASSWORD

pytestmark = pytest.mark.system

_WRONG = "\n".join(f"wrong{number}" for number in range(40))
_SSH = ("ssh", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oConnectTimeout=2")
_LOGIN = (*_SSH, "-oNumberOfPasswordPrompts=1")
_LOGIN_S = "10"
"""How long a login may take: a ban may begin before sshd has answered, and then ssh would wait for ever."""


def _logs_in(host: Host, node: Node, password: str = PASSWORD) -> bool:
    """Whether this password, the right one by default, lets somebody in from this host."""
    login = ("sshpass", "-p", password, *_LOGIN, f"root@{node.host.address4}", "hostname")
    return host.run("timeout", _LOGIN_S, *login, check=False).stdout.strip() == node.host.name


def test_brute_force_ends_in_a_ban(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wrong passwords lead to a ban; then even the right one is refused from there, and accepted from elsewhere."""
    assert _logs_in(node.attacker, node)
    passwords = tmp_path_factory.mktemp("medusa") / "passwords"
    passwords.write_text(_WRONG)
    node.attacker.start("medusa", "-h", node.host.address4, "-u", "root", "-P", passwords, "-M", "ssh", "-t", "4")
    wait_for(lambda: node.attacker.address4 in node.banned(), "a ban", lambda: node.log(UNIT), timeout_s=30)
    node.attacker.stop_all()
    (ban,) = (ban for ban in node.ask("list") if ban["network"] == node.attacker.address4)
    assert (ban["set"], ban["detector"]) == ("ban", "sshd")
    assert node.in_kernel(node.attacker.address4) == 1
    assert not _logs_in(node.attacker, node)
    assert _logs_in(node.neighbour, node)
    why = node.look("nodewarden", "why", node.attacker.address4)
    assert "failures" in why or "failed" in why, why
    node.look("nodewarden", "unban", node.attacker.address4)
    wait_for(lambda: _logs_in(node.attacker, node), "a login after the ban", lambda: node.log(UNIT))


def test_rotation_loses_no_failure(node: Node) -> None:
    """journald rotates its files between a source's failures, which count all the same."""
    for attempt in range(5):
        node.look("journalctl", "--rotate")
        assert not _logs_in(node.neighbour, node, f"wrong{attempt}")
    wait_for(lambda: node.neighbour.address4 in node.banned(), "a ban", lambda: node.log(UNIT), timeout_s=10)
    node.look("nodewarden", "unban", node.neighbour.address4)


def test_it_watches_again_after_a_reboot(node: Node) -> None:
    """Journal, kernel log and the rest are read again after a reboot, when journald has moved to the disk."""
    node.reboot()
    node.await_answer()
    assert {one["name"]: one["state"] for one in node.settled()["sources"] if one["state"] != "up"} == {"xdp": "off"}
    for attempt in range(5):
        assert not _logs_in(node.attacker, node, f"wrong{attempt}")
    wait_for(lambda: node.attacker.address4 in node.banned(), "a ban", lambda: node.log(UNIT), timeout_s=10)
