"""The Ansible role: checked by its own linter, and run against a booted machine as a fleet is run."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.deb import ROOT
from tests.support.fleet import Fleet
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.needs import needs
from tests.system.packaging.test_deb import is_active, status

pytestmark = pytest.mark.timeout(300)  # the first makes package and image

_ROLE = ROOT / "deploy/ansible/roles/nodewarden"
_GIVEN: dict[str, object] = {
    "nodewarden_preset": "worker",
    "nodewarden_operators": ["backup"],
    "nodewarden_settings": {"bans": {"allowlist": ["192.0.2.0/24"]}, "detectors": {"port_scan": {"maxretry": 30}}},
}


@pytest.fixture(scope="module")
def fleet(site: tuple[Lab, Machine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Yield a controller that the machine lets in."""
    needs("ssh", "ssh-keygen")
    lab, machine = site
    with contextlib.closing(Fleet(lab["operator"], machine, tmp_path_factory.mktemp("fleet"))) as fleet:
        yield fleet


def test_the_linter_has_nothing_against_it() -> None:
    """ansible-lint's strictest profile passes, without a look at the network."""
    lint = Path(sys.executable).with_name("ansible-lint")
    command = [str(lint), "--offline", "--nocolor", "-q", "--profile", "production", "."]
    done = subprocess.run(command, cwd=ROOT / "deploy/ansible", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_defaults_and_specification_agree() -> None:
    """Every variable has a default, a type and a description, and the default is the one that is documented."""
    defaults = yaml.safe_load((_ROLE / "defaults/main.yml").read_text())
    specified = yaml.safe_load((_ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in specified.items()} == defaults


@pytest.mark.system
def test_it_installs_configures_and_checks(fleet: Fleet, node: Machine, deb: Path) -> None:
    """A dry run touches nothing; the run installs, configures and finds all well; the next one changes nothing."""
    given = _GIVEN | {"nodewarden_package": str(deb)}
    dry = fleet.play("--check", **given)
    assert dry.failed == 0, dry.output
    assert not node.path("/usr/bin/nodewarden").exists()

    first = fleet.play(**given)
    assert first.failed == 0, first.output
    assert first.changed > 0
    told = status(node)
    assert told["problems"] == []
    assert {one["mode"] for one in told["detectors"]} == {"observe"}
    assert {one["name"]: one["maxretry"] for one in told["detectors"]}["port_scan"] == 30
    assert "192.0.2.0/24" in node.look("nodewarden", "allow", "list")
    assert "kube-proxy" in node.look("nodewarden", "config", "show")
    assert "cap_dac_read_search" in node.unit("nodewarden", "AmbientCapabilities")["AmbientCapabilities"]
    as_operator = ("setpriv", "--reuid=backup", "--regid=backup", "--init-groups")
    assert node.look(*as_operator, "nodewarden", "list", "--json") == "[]\n"

    again = fleet.play(**given)
    assert (again.changed, again.failed) == (0, 0), again.output


@pytest.mark.system
def test_changes_are_followed_and_faults_are_not(fleet: Fleet, node: Machine, deb: Path) -> None:
    """Changed settings take hold without a restart, faulty ones never reach the daemon, problems end the play."""
    node.look("dpkg", "--install", deb)
    before = node.main_pid("nodewarden")
    changed = fleet.play(
        nodewarden_enforce=True, nodewarden_settings={"detectors": {"host_sweep": {"mode": "observe"}}}
    )
    assert changed.failed == 0, changed.output
    modes = {one["name"]: one["mode"] for one in status(node)["detectors"]}
    assert (modes["port_scan"], modes["host_sweep"]) == ("enforce", "observe")
    assert node.main_pid("nodewarden") == before

    faulty = fleet.play(nodewarden_enforce=True, nodewarden_settings={"detectors": {"port_scan": {"maxrety": 3}}})
    assert faulty.failed == 1
    assert "did you mean maxretry?" in faulty.output
    assert "host_sweep" in node.path("/etc/nodewarden/conf.d/50-ansible.yaml").read_text()
    assert status(node)["problems"] == []

    node.write("/etc/nodewarden/conf.d/60-by-hand.yaml", "bans: {alowlist: []}\n")
    node.look("systemctl", "reload", "nodewarden", check=False)
    ill = fleet.play("--check", nodewarden_enforce=True, nodewarden_patience=0)
    assert ill.failed == 1
    assert "PROBLEM: the configuration on disk is faulty" in ill.output

    assert fleet.play(nodewarden_state="purged").failed == 0
    assert not is_active(node)
    assert not node.path("/etc/nodewarden").exists()
