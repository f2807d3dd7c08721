"""What the tests here stand on: a machine that boots, runs services in their sandbox, reboots and leaves nothing."""

from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.root_image import RootImage

pytestmark = pytest.mark.system


def _traces(name: str) -> list[str]:
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "nw-machine" in line]
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}")]
    return mounts + cgroups + [str(path) for path in Path("/run/netns").glob(name)]


def test_it_boots_reboots_and_leaves_nothing() -> None:
    """All units start; a service runs without privileges it was not given; files outlive a reboot; nothing is left."""
    with Lab("node", "attacker", label="boot") as lab, Machine(lab["node"], [RootImage().path()]) as machine:
        assert machine.look("systemctl", "is-system-running").strip() == "running"
        assert machine.run("id", "-un", properties=["User=nobody"]).stdout == "nobody\n"
        banner = f"head -n1 </dev/tcp/{lab['node'].address4}/22"
        assert "Debian" in lab["attacker"].run("timeout", "5", "bash", "-c", banner).stdout
        machine_id = machine.path("/etc/machine-id").read_text()
        machine.write("/etc/kept", "yes")
        machine.reboot()
        assert machine.path("/etc/kept").read_text() == "yes"
        assert machine.path("/etc/machine-id").read_text() == machine_id
        name = machine.host.namespace
    assert _traces(name) == []
