"""What the daemon does where it cannot run: one clear line, a non-zero exit, nothing half set up."""

import socket
import subprocess

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import NODEWARDEN, wait_for

pytestmark = pytest.mark.kernel


def ends(site: Site, *wrapper: str) -> tuple[int, str]:
    """Start the daemon, wait until it ends by itself, return its exit code and its log."""
    process = site.daemon.launch(*wrapper)
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the daemon runs on\n{site.daemon.log}")
    return code, site.daemon.log


@pytest.mark.parametrize(("capability", "names"), [("net_admin", "CAP_NET_ADMIN"), ("syslog", "CAP_SYSLOG")])
def test_a_missing_capability_is_named(site: Site, capability: str, names: str) -> None:
    """Without a capability it ends with 1, names it, and leaves no table behind."""
    code, log = ends(site, "setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}")
    assert code == 1
    assert names in log
    assert "Traceback" not in log
    assert not site.has_table()


def test_a_taken_metrics_port_is_named(site: Site) -> None:
    """Somebody else listens on 9843: it ends with 1, names address and setting, and leaves no table behind."""
    with site.node.entered(), socket.create_server(("127.0.0.1", 9843)):
        code, log = ends(site)
    assert code == 1
    assert "127.0.0.1 port 9843" in log
    assert "metrics.listen" in log
    assert not site.has_table()


def test_a_second_daemon_is_refused(site: Site) -> None:
    """Two daemons in one network namespace: the second ends with 4 and names the first, which still answers."""
    site.daemon.start()
    first = site.daemon.process
    assert first is not None
    site.configure("metrics: {listen: '127.0.0.1:9844'}")
    code, log = ends(site)
    assert code == 4
    assert f"process {first.pid} [" in log
    site.daemon.process = first
    assert site.daemon.run("status").returncode == 0


def test_a_faulty_configuration_ends_with_2(site: Site) -> None:
    """Every fault is named with its place, and nothing is set up."""
    site.configure("detectors: {port_scan: {bantime: soon, maxrety: 3}}\nmetrics: {listen: 'example.org:1'}")
    code, log = ends(site)
    assert code == 2
    assert all(word in log for word in ("bantime", "maxrety", "metrics.listen", "more.yaml:2:", "more.yaml:3:"))
    assert not site.has_table()


def test_a_missing_configuration_ends_with_2(site: Site) -> None:
    """Where there is no configuration it says so, and where it looked."""
    done = site.node.run(NODEWARDEN, "run", "--config", "/nonexistent/nodewarden.yaml", check=False)
    assert done.returncode == 2
    assert "/nonexistent/nodewarden.yaml" in done.stderr


def test_commands_without_a_daemon_say_what_to_do(site: Site) -> None:
    """`status` without a daemon ends with 3 and names the command that starts it."""
    done = site.daemon.run("status")
    assert done.returncode == 3
    assert "systemctl start nodewarden" in done.stderr


def test_an_unwritable_state_directory_does_not_stop_it(site: Site) -> None:
    """Without a place for its state it guards on, and `status` says that nothing is saved."""
    site.configure("state: {directory: /proc/nodewarden}")
    site.daemon.start()
    site.scan()
    wait_for(site.banned, "a ban", lambda: site.daemon.log)
    assert "state is not being saved: /proc/nodewarden" in site.daemon.ask("status")["problems"][0]
    assert site.daemon.stop() == 0
