"""Runs the Ansible role from a host of a lab against a booted machine, over SSH as for a fleet."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.support.lab import Host
from tests.support.machine import Machine

PLAYBOOK = Path(__file__).parents[2] / "deploy/ansible/site.yml"
_TOOLS = Path(sys.executable).parent
_SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


class Played(NamedTuple):
    """The result of a run: the numbers of its recap, and its output."""

    ok: int
    changed: int
    failed: int
    output: str


class Fleet:
    """One controller, and one node that it can log in to."""

    def __init__(self, controller: Host, node: Machine, directory: Path) -> None:
        """Create a key in the directory and authorize it on the node."""
        self._controller = controller
        self._directory = directory
        key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        node.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text())
        node.look("chmod", "-R", "go=", "/root/.ssh")
        # one connection for all tasks of all plays, which `close` closes
        self._ssh = f"{_SSH} -o ControlMaster=auto -o ControlPersist=yes -o ControlPath={directory}/connection"
        self._host = {"ansible_host": node.host.address4, "ansible_user": "root"}
        self._host |= {"ansible_ssh_private_key_file": str(key), "ansible_python_interpreter": "/usr/bin/python3"}

    def play(self, *options: str, **variables: object) -> Played:
        """Run the playbook with these variables of the role; the caller checks for failures."""
        inventory = self._directory / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"node": self._host | variables}}}))
        environment = {"ANSIBLE_HOME": str(self._directory), "ANSIBLE_PIPELINING": "1", "ANSIBLE_SSH_ARGS": self._ssh}
        environment |= {"ANSIBLE_GATHERING": "explicit", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"}
        command = [str(_TOOLS / "ansible-playbook"), "--inventory", str(inventory), *options, str(PLAYBOOK)]
        process = self._controller.start(
            *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | environment
        )
        output, _ = process.communicate(timeout=120)
        recap = re.search(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=(\d+)", output)
        assert recap is not None, output
        return Played(int(recap[1]), int(recap[2]), int(recap[3]), output)

    def close(self) -> None:
        """Close the connection."""
        self._controller.run("ssh", *self._ssh.split(), "-O", "exit", self._host["ansible_host"], check=False)
