"""The command `nodewarden audit` on a node with open ports, and the daemon that reads its report."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import pytest

from tests.support.audit_cases import Case
from tests.support.audit_node import audit_node
from tests.support.daemon import NODEWARDEN, Daemon, wait_for
from tests.support.lab import Host

pytestmark = pytest.mark.kernel

_CASE = Case(title="etcd is open", listeners="etcd tcp 0.0.0.0 2379\nsshd tcp 0.0.0.0 22", expected="")
_ACCEPTED = "- {check: exposed-etcd, subject: tcp/2379, reason: a test, until: 2999-01-01}\n"


class Node:
    """A node, its configuration, and its daemon."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.report = directory / "audit" / "report.json"
        self.suppressions = directory / "audit.yaml"
        self.baseline = directory / "baseline.json"
        section = f"audit: {{report: {self.report}, suppressions: {self.suppressions}}}\n"
        self.daemon = Daemon(host, directory, f"mode: observe\nsources: {{kernel_log: {{enabled: false}}}}\n{section}")

    def audit(self, *options: str | Path) -> CompletedProcess[str]:
        """Run an audit."""
        return self.host.run(NODEWARDEN, "audit", "--config", self.daemon.configuration_path, *options, check=False)

    def found(self, *options: str | Path) -> dict[tuple[str, str], str]:
        """Return the states by check and subject."""
        whole = json.loads(self.audit("--json", *options).stdout)
        return {(one["check"], one["subject"]): one["state"] for one in whole["findings"]}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with an open etcd and an SSH server, without a firewall."""
    with audit_node(_CASE) as host:
        yield Node(host, tmp_path)


_ETCD = ("exposed-etcd", "tcp/2379")
_SSH = ("exposed-other", "tcp/22")


def test_options_forms_and_exit_codes(node: Node) -> None:
    """Each form has the finding; the exit code says that it fails, that it is accepted, and what is wrong in a file."""
    assert node.found()[_ETCD] == "fail"
    assert node.audit().returncode == 0
    done = node.audit("--exit-code", "9", "--severity", "critical")
    assert done.returncode == 9
    assert "exposed-etcd  tcp/2379" in done.stdout
    assert "CIS" not in node.audit("--check", "exposed-etcd").stdout
    (run,) = json.loads(node.audit("--format", "sarif").stdout)["runs"]
    assert "exposed-etcd" in {one["ruleId"] for one in run["results"]}
    junit = ElementTree.fromstring(node.audit("--format", "junit").stdout)
    assert junit.find("testsuite/testcase[@name='tcp/2379']/failure") is not None
    assert node.found("--check", "exposed-etcd") == {_ETCD: "fail"}
    assert node.found("--check", "exposed-etcd", "--zone", "nodes") == {_ETCD: "unknown"}
    assert node.audit("--check", "exposed-ectd").returncode == 2
    assert node.audit("--save", "--zone", "world").returncode == 2

    node.suppressions.write_text(_ACCEPTED)
    assert node.found()[_ETCD] == "suppressed"
    assert node.audit("--exit-code", "9", "--severity", "critical").returncode == 0
    node.suppressions.write_text(_ACCEPTED.replace("exposed-etcd", "exposed-ectd"))
    done = node.audit()
    assert (done.returncode, "did you mean exposed-etcd" in done.stderr) == (2, True)


def test_a_baseline_accepts_what_is_open(node: Node) -> None:
    """What listens when it is written is accepted from then on; what is critical or high is not."""
    assert node.found()[_SSH] == "fail"
    assert node.audit("--write-baseline", node.baseline).returncode == 0
    found = node.found("--baseline", node.baseline)
    assert _SSH not in found
    assert found[_ETCD] == "fail"
    assert node.audit("--baseline", "/nowhere.json").returncode == 2


def test_without_nft_nothing_passes(node: Node) -> None:
    """A part that cannot be gathered is named, its checks are unknown, and the exit code is no success."""
    hide = 'mount --bind /dev/null /usr/sbin/nft && exec "$@"'
    wrapper = ("unshare", "--mount", "sh", "-c", hide, "-")
    done = node.host.run(
        *wrapper, NODEWARDEN, "audit", "--config", node.daemon.configuration_path, "--json", check=False
    )
    whole = json.loads(done.stdout)
    assert done.returncode == 1
    assert {"ruleset", "reach"} <= set(whole["lacks"])
    states = {one["check"]: one["state"] for one in whole["findings"]}
    assert {states["exposed-etcd"], states["default-accept"]} == {"unknown"}


def test_the_daemon_reports_what_was_saved(node: Node) -> None:
    """Metrics, status and doctor follow the report; one that others can write to is a problem and no result."""
    assert node.audit("--save").returncode == 0
    assert node.report.stat().st_mode & 0o777 == 0o640
    node.daemon.start()
    wait_for(lambda: node.daemon.ask("status")["audit"], "the daemon to read the report", lambda: node.daemon.log)
    status = node.daemon.ask("status")
    assert status["audit"]["failing"]["critical"] == 1
    assert any("exposed-etcd tcp/2379 (critical)" in notice for notice in status["notices"])
    assert node.daemon.metrics()['nodewarden_audit_findings{check="exposed-etcd",severity="critical"}'] == 1
    assert re.search(r"^audit \d+s ago: \d+ findings \(1 critical", node.daemon.run("status").stdout, re.MULTILINE)
    parts = {part["name"]: part["state"] for part in node.daemon.ask("doctor")["parts"]}
    assert parts["audit"] == "ok"
    node.report.chmod(0o666)
    assert node.daemon.run("reload").returncode == 0
    wait_for(lambda: not node.daemon.ask("status")["audit"], "the report to be refused", lambda: node.daemon.log)
    assert any("others than user 0" in problem for problem in node.daemon.ask("status")["problems"])
