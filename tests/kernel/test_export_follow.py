"""`nodewarden export --follow` with a real daemon: bans, ends, a restart."""

import signal
import subprocess

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel


def test_bans_are_followed_over_a_restart(site: Site) -> None:
    """A ban, its end, another one; the daemon's restart withdraws nothing; Ctrl-C ends it with 0."""
    site.daemon.start()
    command = site.daemon.command("export", "--follow", "--format", "changes").split()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            for order, line in (("ban", "add 192.0.2.50/32"), ("unban", "del 192.0.2.50/32")):
                assert site.daemon.run(order, "192.0.2.50").returncode == 0
                assert process.stdout.readline().strip() == line
            assert site.daemon.run("ban", "192.0.2.51").returncode == 0
            assert process.stdout.readline().strip() == "add 192.0.2.51/32"
            site.daemon.stop()
            site.daemon.start()
            wait_for(lambda: "192.0.2.51" in site.banned(), "the ban after the restart", lambda: site.daemon.log)
            assert site.daemon.run("ban", "192.0.2.52").returncode == 0
            assert process.stdout.readline().strip() == "add 192.0.2.52/32"
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
