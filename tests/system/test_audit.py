"""The audit on a machine as it is installed: the unit judges inside its sandbox, and the daemon reads its report."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.node import Node

pytestmark = pytest.mark.system

_UNIT = "nodewarden-audit.service"
_MAX_EXPOSURE = 32  # tenths
_REPORT = "/var/lib/nodewarden-audit/report.json"


def test_exposure_is_as_low_as_it_can_be(tmp_path: Path) -> None:
    """It is root with six capabilities: namespaces and packets of its own, and what others run."""
    unit = tmp_path / _UNIT
    unit.write_text(Path(f"systemd/{_UNIT}").read_text().replace("@PREFIX@", "/opt/nodewarden"))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def _states(findings: list[dict[str, str]]) -> dict[tuple[str, str], str]:
    return {(one["check"], one["subject"]): one["state"] for one in findings}


def test_the_unit_finds_what_root_finds_and_the_daemon_reads_it(node: Node) -> None:
    """The sandbox takes nothing from the audit, nothing of the node changes, and only root can write the report."""
    before = node.look("nft", "-s", "list", "ruleset")
    for _ in range(2):  # the second one compares with the first
        assert node.systemctl("start", _UNIT), node.log(_UNIT)
    assert node.look("nft", "-s", "list", "ruleset") == before
    report = json.loads(node.path(_REPORT).read_text())
    assert report["lacks"] == {}
    by_hand = json.loads(node.look("nodewarden", "audit", "--json"))
    assert _states(report["findings"]) == _states(by_hand["findings"])
    assert ("exposed-other", "tcp/22") in _states(report["findings"])
    assert node.look("stat", "-c", "%U:%G %a", _REPORT, "/var/lib/nodewarden-audit").split("\n")[:2] == [
        "root:nodewarden 640",
        "root:nodewarden 750",
    ]
    assert node.systemctl("reload", "nodewarden.service")
    wait_for(lambda: node.ask("status")["audit"], "the daemon to read the report")
    assert node.ask("status")["audit"]["digest"] == by_hand["digest"]
    said = node.try_("systemd-analyze", "verify", "--man=no", _UNIT, "nodewarden-audit.timer")
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    assert node.unit("nodewarden-audit.timer", "ActiveState")["ActiveState"] == "active"
