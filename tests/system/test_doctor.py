"""`nodewarden doctor` finds what is missing, and the command that it names repairs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import DROP_INS, UNIT, Node

pytestmark = pytest.mark.system

_KUBERNETES = Path("systemd/kubernetes.conf")
_KUBELET_CONF = """
apiVersion: v1
kind: Config
clusters: [{name: here, cluster: {server: "https://203.0.113.10:6443"}}]
"""


def _doctor(node: Node) -> tuple[int, dict[str, Any]]:
    done = node.try_("nodewarden", "doctor", "--json")
    return done.returncode, json.loads(done.stdout)


def _missing(node: Node) -> dict[str, list[str]]:
    """Return the repairing commands by part, of all that is missing."""
    code, finding = _doctor(node)
    unmet = [part for part in finding["parts"] if part["state"] == "missing"]
    missing = {part["name"]: [needed["repair"] for needed in part["requirements"]] for part in unmet}
    assert code == (1 if missing else 0)
    return missing


def test_it_looks_from_inside_the_sandbox(node: Node) -> None:
    """With everything in place it finds nothing, and it was the daemon that looked, not root."""
    code, finding = _doctor(node)
    assert code == 0
    assert (finding["account"], finding["is_daemon"], finding["is_sandboxed"]) == ("nodewarden", True, True)
    assert {part["state"] for part in finding["parts"]} <= {"ok", "off", "could be better"}


def test_a_log_file_that_may_not_be_read(node: Node) -> None:
    """It names a log file of root's alone; its command makes it readable."""
    log = "/var/log/auth.log"
    node.look("chown", "root:root", log)
    ((part, repairs),) = _missing(node).items()
    assert part == "files"
    node.look("sh", "-c", repairs[0])
    assert _missing(node) == {}


def test_a_missing_package(node: Node) -> None:
    """Without bcc it names the package, and the other parts are sound."""
    package = "/usr/lib/python3/dist-packages/bcc"
    node.look("mv", package, f"{package}.away")
    try:
        assert node.restart()
        assert "apt-get install python3-bpfcc linux-libc-dev" in _missing(node)["drops"]
        assert list(_missing(node)) == ["drops"]
    finally:
        node.look("mv", f"{package}.away", package)


def test_a_node_of_a_cluster(node: Node) -> None:
    """It says that the cluster's files may not be read; its command has the API server protected."""
    node.write("/etc/kubernetes/kubelet.conf", _KUBELET_CONF)
    node.look("chmod", "600", "/etc/kubernetes/kubelet.conf")
    try:
        assert node.restart()
        ((part, repairs),) = _missing(node).items()
        assert part == "kubernetes"
        assert "the cluster is not protected" in "\n".join(node.ask("status")["notices"])
        node.look("sh", "-c", repairs[0])
        assert _missing(node) == {}
        assert "203.0.113.10" in node.look("nodewarden", "allow", "list")
        node.look("sh", "-c", f"rm -f {DROP_INS}/cap_*.conf")
        node.drop_in(_KUBERNETES.read_text())
        assert node.restart()
        assert _missing(node) == {}
    finally:
        node.look("sh", "-c", f"rm -rf /etc/kubernetes {DROP_INS}/cap_*.conf")
        node.drop_in("")
        node.restart()


def test_connections_of_all_namespaces(node: Node) -> None:
    """They take a capability that the unit does not give by itself; the command gives it, and they are told."""
    node.configure("sources: {conntrack: {all_namespaces: true}}\n")
    try:
        assert node.restart()
        ((part, repairs),) = _missing(node).items()
        assert part == "conntrack"
        node.look("sh", "-c", repairs[0])
        assert _missing(node) == {}
        assert {one["name"]: one["state"] for one in node.settled()["sources"]}["conntrack"] == "up"
    finally:
        node.look("sh", "-c", f"rm -f {DROP_INS}/cap_*.conf")
        node.configure()
        node.drop_in("")
        node.restart()


def test_without_a_daemon(node: Node) -> None:
    """Where no daemon answers it looks itself, as root, and says so."""
    node.systemctl("stop", UNIT)
    done = node.try_("nodewarden", "doctor")
    assert done.returncode == 0
    assert "by this command, not by the service, as root" in done.stdout
    assert node.systemctl("start", UNIT)
