"""The unit's sandbox: all works inside it, it is as tight as said, and nothing in it is there for no reason."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.needs import cannot_run
from tests.support.node import DROP_INS, UNIT, Node

pytestmark = pytest.mark.system

_SERVICE = Path("systemd/nodewarden.service").read_text()
_MAX_EXPOSURE = 20  # tenths
_PROFILE = "/etc/apparmor.d/nodewarden"
_DMESG_RESTRICT = Path("/proc/sys/kernel/dmesg_restrict")
_METRICS = "http://127.0.0.1:9843/metrics"


def _words(key: str) -> list[str]:
    return [word for line in re.findall(rf"^{key}=(.*)$", _SERVICE, re.MULTILINE) for word in line.split()]


_OF_THE_MACHINE = ("net.netfilter.nf_conntrack_acct is 0", "this is not the initial network namespace")
"""Notes about the lab's machine, with or without a sandbox."""


def _complaints(node: Node) -> list[str]:
    """Restart the daemon, use it, and say all that is not as it should be."""
    if not node.restart():
        return ["does not start"]
    node.settled()
    mode = node.path("/run/nodewarden/control.sock").stat().st_mode & 0o777
    done = {
        "a ban is not taken": node.try_("nodewarden", "ban", "192.0.2.1").returncode == 0,
        "metrics are not served": node.host.run("curl", "-sf", _METRICS, check=False).returncode == 0,
        "a failure in a log is not found": _finds_failure(node),
        f"the control socket has mode {mode:o}": mode == 0o660,
        "does not reload": node.systemctl("reload", UNIT),
    }
    status = node.ask("status")
    said: list[str] = status["problems"] + [
        notice for notice in status["notices"] if not notice.startswith(_OF_THE_MACHINE)
    ]
    done["does not stop"] = node.systemctl("stop", UNIT)
    down = [f"{one['name']} is {one['state']}" for one in status["sources"] if one["state"] != "up"]
    return (
        said
        + [text for text in down if not text.startswith("xdp")]
        + [text for text, is_done in done.items() if not is_done]
    )


def _finds_failure(node: Node) -> bool:
    def failures() -> int:
        return sum(one["failures"] for one in node.ask("status")["filters"] if one["detector"] == "logs")

    with node.path("/var/log/auth.log").open("a") as log:
        moment = time.strftime("%b %e %H:%M:%S", time.gmtime())
        log.write(f"{moment} node sshd[7]: Failed password for root from 192.0.2.9 port 4242 ssh2\n")
    try:
        wait_for(failures, "the failure to be found", timeout_s=1)
    except RuntimeError:
        return False
    return True


def test_everything_works_in_it(node: Node) -> None:
    """All sources, compiler and enforcer work as an unprivileged user inside the sandbox: nothing to complain of."""
    assert _complaints(node) == []


def test_its_group_may_ask(node: Node) -> None:
    """Who is in the group that control.group names may use the commands, and nobody else but root."""
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup")
    assert node.restart()
    assert node.try_(*as_nobody, "--groups=nodewarden", "nodewarden", "status").returncode == 0
    refused = node.try_(*as_nobody, "--clear-groups", "nodewarden", "status")
    assert refused.returncode == 3
    assert "control.group" in refused.stderr


def test_exposure_is_low(tmp_path: Path) -> None:
    """`systemd-analyze security` counts an exposure of at most 2.0 of 10."""
    (tmp_path / UNIT).write_text(_SERVICE.replace("@PREFIX@", "/opt/nodewarden"))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", str(tmp_path / UNIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_its_limits_are_in_force(node: Node) -> None:
    """Descriptors are limited, soft and hard alike; memory slows it before it ends it; others are killed first."""
    assert node.restart()
    limits = Path(f"/proc/{node.main_pid(UNIT)}/limits").read_text()
    assert re.search(r"^Max open files +8192 +8192 ", limits, re.MULTILINE)
    names = ("MemoryHigh", "MemoryMax", "OOMScoreAdjust", "OOMPolicy")
    shown = node.look("systemctl", "show", UNIT, *(f"--property={name}" for name in names))
    found = dict(line.split("=", 1) for line in shown.splitlines())
    assert (found["OOMScoreAdjust"], found["OOMPolicy"]) == ("-900", "continue")
    assert int(found["MemoryHigh"]) < int(found["MemoryMax"])


def test_the_unit_is_sound(node: Node) -> None:
    """systemd has nothing to complain of in the unit as it is installed, manual pages aside."""
    said = node.try_("systemd-analyze", "verify", "--man=no", UNIT)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_the_apparmor_profile_is_one(node: Node) -> None:
    """The profile that was installed is understood by AppArmor's own parser; a kernel with AppArmor would load it."""
    assert "@PREFIX@" not in node.path(_PROFILE).read_text()
    node.look("apparmor_parser", "--skip-kernel-load", "--skip-cache", _PROFILE)


@pytest.mark.parametrize("capability", _words("AmbientCapabilities"))
def test_no_capability_is_there_for_nothing(node: Node, capability: str) -> None:
    """Without any one of its capabilities something does not work, the self-check says so, and how to repair it."""
    if capability == "CAP_SYSLOG" and _DMESG_RESTRICT.read_text().strip() == "0":
        cannot_run("with kernel.dmesg_restrict = 0 everybody may read the kernel log")
    left = " ".join(word for word in _words("AmbientCapabilities") if word != capability)
    keys = ("CapabilityBoundingSet", "AmbientCapabilities")
    node.drop_in("[Service]\nRestart=no\n" + "".join(f"{key}=\n{key}={left}\n" for key in keys))
    try:
        assert _complaints(node)
        (repair,) = {repair for repair in _repairs(node) if capability in repair}
        node.look("sh", "-c", repair)
        assert _complaints(node) == []
    finally:
        node.look("sh", "-c", f"rm -f {DROP_INS}/cap_*.conf")
        node.drop_in("")


def _repairs(node: Node) -> list[str]:
    """Return the commands by which the self-check of the last start would repair something, as the log has them."""
    lines = node.log(UNIT).rpartition("self-check")[2].splitlines()
    return [line.partition("to repair it: ")[2] for line in lines if "to repair it: " in line]


@pytest.mark.parametrize("family", [word for word in _words("RestrictAddressFamilies") if word != "AF_INET6"])
def test_no_family_of_addresses_is_there_for_nothing(node: Node, family: str) -> None:
    """Without any one family of sockets something does not work; IPv6 is for `metrics.listen`."""
    _take_away(node, f"RestrictAddressFamilies=~{family}")


# Nothing fails without madvise, but the C library gives memory back with it.
@pytest.mark.parametrize("calls", [word for word in _words("SystemCallFilter") if word != "madvise"])
def test_no_system_call_is_there_for_nothing(node: Node, calls: str) -> None:
    """Without any one call, or group of calls, of its list something does not work."""
    _take_away(node, f"SystemCallFilter=~{calls}")


def _take_away(node: Node, setting: str) -> None:
    node.drop_in(f"[Service]\nRestart=no\n{setting}\n")
    try:
        assert _complaints(node), f"everything works without: {setting}"
    finally:
        node.drop_in("")


def test_state_of_root_becomes_its_own(node: Node) -> None:
    """What an older version, or a command, wrote as root is the daemon's after the next boot (tmpfiles.d)."""
    node.systemctl("stop", UNIT)
    node.look("chown", "-R", "root:root", "/var/lib/nodewarden")
    node.look("chmod", "-R", "go=", "/var/lib/nodewarden")
    node.look("systemd-tmpfiles", "--create", "nodewarden.conf")
    assert _complaints(node) == []


def test_metrics_wait_for_no_interface(node: Node) -> None:
    """The daemon starts before the network: an address of metrics.listen that comes later is served when it comes."""
    address = "10.99.0.1"
    node.configure(f"metrics: {{listen: '{address}:9843'}}\n")
    try:
        assert node.restart()
        assert "cannot assign" in node.try_("nodewarden", "doctor").stdout.lower()
        node.host.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        assert "nodewarden_build_info" in node.host.run("curl", "-sf", f"http://{address}:9843/metrics").stdout
        assert node.try_("nodewarden", "doctor").returncode == 0
    finally:
        node.host.run("ip", "addr", "del", f"{address}/32", "dev", "lo", check=False)
        node.configure()
