"""The real daemon among clients of its own servers: unprivileged users cannot keep it from its work."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.control.client import ask
from monitor.control.protocol import BanOrder, ListBans, RequestedBan
from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel

_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_FEW_DESCRIPTORS = ("prlimit", "--nofile=256:256")
_MOST_THREADS = 16
_IDLE = """
import resource, signal, socket, time
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = [socket.create_connection(("127.0.0.1", 9843), 10) for _ in range(1000)]
print("idle", flush=True)
signal.alarm(60)
signal.pause()
"""
_CONNECTING = """
import socket, time
end = time.monotonic() + 30
while time.monotonic() < end:
    socket.create_connection(("127.0.0.1", 9843), 10).close()
"""
_IDLE_MEMBER = """
import os, signal, socket, sys
os.chdir(sys.argv[1])
os.setgroups([]), os.setgid(65534), os.setuid(65534)
held = []
for number in range(100):
    client = socket.socket(socket.AF_UNIX)
    client.connect("control.sock")
    held.append(client)
print("idle", flush=True)
signal.alarm(60)
signal.pause()
"""


@contextmanager
def stranger(
    site: Site, script: str, *arguments: str | Path, says: str = "", wrapper: tuple[str, ...] = _NOBODY
) -> Iterator[subprocess.Popen[str]]:
    """Run a script on the node as nobody, from when it says something until the block ends."""
    process = site.node.start(*wrapper, sys.executable, "-c", script, *arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        if says:
            assert process.stdout.readline().strip() == says
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_thousand_idle_connections_change_nothing(site: Site) -> None:
    """With 256 descriptors in all, it still answers a scrape, bans, reloads, and runs in few threads."""
    site.daemon.start(*_FEW_DESCRIPTORS)
    with stranger(site, _IDLE, says="idle"), stranger(site, _CONNECTING):
        for _ in range(3):
            assert site.daemon.metrics()["nodewarden_table_up"] in (0.0, 1.0)
        site.scan()
        wait_for(site.banned, "a ban", lambda: site.daemon.log)
        assert site.in_kernel(site.attacker.address4)
        assert site.daemon.run("reload").returncode == 0
        status = site.daemon.ask("status")
        assert status["problems"] == []
        assert any("metrics.listen" in notice for notice in status["notices"])
        threads = Path(f"/proc/{site.daemon.pid}/status").read_text().partition("Threads:")[2].split()[0]
        assert int(threads) <= _MOST_THREADS
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_client_connections_dropped_total{cause="crowded",server="metrics"}'] >= 900
    assert metrics["nodewarden_internal_errors_total"] == 0
    assert site.daemon.stop() == 0
    assert "Traceback" not in site.daemon.log


def test_idle_members_do_not_lock_out_root(site: Site, tmp_path: Path) -> None:
    """Hundreds of connections of a member of the group, which send nothing: root's commands are answered."""
    tmp_path.chmod(0o755)
    site.configure("control: {group: nogroup}\n")
    site.daemon.start(*_FEW_DESCRIPTORS)
    with stranger(site, _IDLE_MEMBER, tmp_path, says="idle", wrapper=()):
        assert site.daemon.run("ban", "198.51.100.7").returncode == 0
        assert site.banned() == ["198.51.100.7"]
    dropped = 'nodewarden_client_connections_dropped_total{cause="crowded",server="control"}'
    assert site.daemon.metrics()[dropped] >= 92


def test_a_large_order_lets_others_through(site: Site, tmp_path: Path) -> None:
    """While an order of 3,000 bans is carried out, other commands are answered again and again, and so are scrapes."""
    site.daemon.start()
    order = BanOrder([RequestedBan(f"198.18.{n >> 8}.{n & 255}", 600.0) for n in range(3_000)])
    with ThreadPoolExecutor(1) as pool:
        ordered = pool.submit(ask, tmp_path / "control.sock", order)
        answered = []
        while not ordered.done():
            answered += [ask(tmp_path / "control.sock", ListBans(limit=1))["total"] for _ in range(4)]
            assert "nodewarden_bans" in site.node.run("curl", "-sf", "http://127.0.0.1:9843/metrics").stdout
        assert all(one["done"] for one in ordered.result())
    assert len(set(answered)) > 3  # in one piece: before and after
    assert len(site.daemon.ask("unban", "--all")) == 3_000
    assert site.banned() == []
