"""One owner in each network namespace, whatever files it sees, and nobody without privilege takes its place."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor.enforcers.owner import GROUP, Owner
from monitor.model.errors import AlreadyOwned
from tests.kernel.conftest import Site
from tests.support.daemon import NODEWARDEN
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_AS_NOBODY = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
_SQUATTER = r"""
import socket, struct, sys
signs = []
for text in (b"0/root is watching \x1b[31m since ever", b"1/9.9.9"):
    sign = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sign.bind(b"\0nodewarden-owner/" + text)
    sign.listen(1)
    signs.append(sign)
lock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
lock.bind((0, 0))
body = struct.pack(">BBH", 0, 0, int(sys.argv[1])) + struct.pack("=HHB3x", 5, 1, 1)
lock.send(struct.pack("=IHHII", 16 + len(body), 0x401, 5, 1, 0) + body)
print(struct.unpack_from("=i", lock.recv(4096), 16)[0], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other() -> Iterator[Host]:
    """Yield the host of another network namespace than that in which the test is."""
    with Lab("node", "attacker", label="owner") as lab, lab["node"].entered():
        yield lab["attacker"]


@contextmanager
def _squatting() -> Iterator[int]:
    """Have an account without privileges do what an owner does; yield the errno of its lock."""
    with subprocess.Popen(
        (*_AS_NOBODY, "/usr/bin/python3", "-c", _SQUATTER, str(GROUP)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield -int(process.stdout.readline())
        process.stdin.close()  # type: ignore[union-attr]


def test_the_second_is_refused_until_the_first_is_gone(other: Host) -> None:
    """Also if the first is killed: the kernel drops the lock with it; another namespace has its own."""
    with Owner():
        with pytest.raises(AlreadyOwned, match=f"process {os.getpid()} "):
            Owner().take()
        with other.entered(), Owner():
            pass
    script = (
        "from monitor.enforcers.owner import Owner; owner = Owner(); owner.take(); print('mine', flush=True); input()"
    )
    with subprocess.Popen(
        ("unshare", "--mount", "--ipc", "--uts", sys.executable, "-c", script),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        with pytest.raises(AlreadyOwned, match="user root"):
            Owner().take()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Owner():
            pass


def test_nobody_without_privilege_takes_the_place(other: Host) -> None:
    """An account that makes the signs of an owner and asks for the lock gets no lock, and no daemon is refused."""
    with _squatting() as code:
        assert code == 1
        with Owner() as owner:
            assert owner.notice == ""
            with pytest.raises(AlreadyOwned) as refused:
                Owner().take()
    assert "\x1b" not in str(refused.value)
    assert "user nobody (nodewarden root is watching ?[31m since ever)" in str(refused.value)
    assert f"process {os.getpid()}" in str(refused.value)


def test_doctor_and_flush_name_the_other_daemon(site: Site) -> None:
    """Commands that reach no daemon say that another one has the namespace, and leave its table alone."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1")
    configuration = site.daemon.configuration_path
    command = NODEWARDEN, "--socket", configuration.parent / "nowhere.sock"
    flushed = site.node.run(*command, "flush", check=False)
    assert flushed.returncode == 4
    assert f"process {site.daemon.pid} [" in flushed.stderr
    assert site.in_kernel("192.0.2.1")
    found = site.node.run(*command, "doctor", "--config", configuration, check=False)
    assert f"process {site.daemon.pid} [" in found.stdout
    site.daemon.stop()
    assert site.node.run(*command, "flush", check=False).returncode == 0
