"""The supervisor, and what it says about the daemon itself."""

import asyncio
import contextlib
import itertools
import os
import resource
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.life.descriptors import Descriptors, raise_limit
from monitor.daemon.life.service import Service
from monitor.daemon.life.supervisor import Supervisor
from monitor.daemon.life.systemd import ServiceManager
from monitor.daemon.life.upkeep import Upkeep
from monitor.settings.load import load
from tests.unit.config.support import write


class Clock:
    """Stands still until it is moved."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def fail() -> None:
    """Fail as the kernel makes one fail."""
    raise OSError(24, "Too many open files")


def test_a_part_that_fails_keeps_no_other_from_running(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted each time, logged once a minute, and a problem until it has worked for a minute."""
    clock = Clock()
    supervisor = Supervisor(clock)
    ran: list[str] = []
    for _ in range(90):
        supervisor.run({"first": lambda: ran.append("first"), "second": fail, "third": lambda: ran.append("third")})
        clock.now_s += 1
    assert ran == ["first", "third"] * 90
    assert supervisor.errors_total == 90
    assert caplog.text.count("Traceback") == 2
    (problem,) = supervisor.problems()
    assert "second failed 90 times" in problem
    assert "Too many open files" in problem
    clock.now_s += 60
    assert supervisor.problems() == []


def test_batches_that_are_lost_write_a_trace_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever can send what trips the daemon can send it thousands of times: each counts, and few are lines."""
    clock = Clock()
    supervisor = Supervisor(clock)
    for _ in range(1200):
        supervisor.batch_lost(3, ValueError("unforeseen"))
        clock.now_s += 0.1
    assert caplog.text.count("3 events was lost to an internal fault") == 2
    assert supervisor.errors_total == 1200
    assert "1200 batches were lost" in supervisor.problems()[0]


def test_a_fault_in_a_callback_is_counted() -> None:
    """What the loop would only log is a problem."""
    supervisor = Supervisor()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(supervisor.callback_failed)
        loop.call_soon(fail)
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert "a callback of the loop failed 1 times" in supervisor.problems()[0]


def test_every_part_of_the_tick_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever part fails, all others still run, the watchdog is fed, and the part is named."""
    path = write(tmp_path, f"state: {{directory: {tmp_path}}}\ndetectors: {{port_scan: {{mode: observe}}}}\n")

    async def run() -> None:
        service = Service(path, load(path))
        names = list(service._tick_parts())
        assert names[-1] == "feeding the watchdog"
        for broken in names:
            ran: list[str] = []
            parts: dict[str, Callable[[], object]] = {name: partial(ran.append, name) for name in names}
            service._supervisor.run(parts | {broken: fail})
            assert ran == [name for name in names if name != broken]
            assert any(text.startswith(f"{broken} failed") for text in service._health.problems())
        assert ("nodewarden_internal_errors_total", (), len(names)) in list(service._health.samples())
        await service.close()

    asyncio.run(run())


def test_the_watchdog_is_fed_without_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket to systemd is opened once, so that a later shortage of descriptors changes nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        manager = ServiceManager()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(OSError, match="Too many"):
                os.dup(0)
            manager.alive()
            manager.status("one line\nREADY=1")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [systemd.recv(100) for _ in range(2)] == [b"WATCHDOG=1", b"STATUS=one line"]
        assert manager.problems() == []
    monkeypatch.setattr(manager, "_alive_s", float("-inf"))
    manager.alive()
    assert "Connection refused" in manager.problems()[0]
    manager.close()


def test_the_watchdog_is_fed_in_time_and_not_at_each_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often it may be fed: at most two thirds of its time pass between two signs of life."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    now_s = 100.0
    monkeypatch.setattr("monitor.daemon.life.systemd.time.monotonic", lambda: now_s)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.setblocking(False)
        manager = ServiceManager()
        fed_s = []
        for pause_s in (0.0, *(1.0,) * 40, manager.alive_every_s, 1.1, manager.alive_every_s, 1.2):
            now_s += pause_s
            manager.alive()
            with contextlib.suppress(BlockingIOError):
                assert systemd.recv(100) == b"WATCHDOG=1"
                fed_s.append(now_s)
        manager.close()
    gaps = [after - before for before, after in itertools.pairwise(fed_s)]
    assert min(gaps) >= 1.125
    assert max(gaps) <= 20


def test_a_sign_of_life_that_is_lost_is_followed_by_another_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while systemd is too busy to read: a second rest would be longer than its patience."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    manager = ServiceManager()
    rest_s = manager.alive_every_s
    manager.alive()  # nobody is there
    assert rest_s + 2 * manager.alive_every_s < 30
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(5)
        manager.alive()
        assert systemd.recv(100) == b"WATCHDOG=1"
    assert manager.alive_every_s == rest_s
    manager.close()


def test_another_socket_at_the_same_address_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is looked up again where the first socket is gone."""
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    manager = ServiceManager()
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(address))
            systemd.settimeout(5)
            for _ in range(2):
                manager.ready()
                assert systemd.recv(100) == b"READY=1"
        assert manager.problems() == []
        address.unlink()
    manager.ready()
    assert "No such file" in manager.problems()[0]
    manager.close()


def test_a_shortage_of_descriptors_is_a_problem() -> None:
    """Before a quarter of the limit is all that is left, and when none is left; not before."""
    lowest = os.dup(0)
    os.close(lowest)
    for limit, is_short in ((lowest * 4, False), (lowest + 1, True)):
        descriptors = Descriptors(limit)
        descriptors.check()
        assert bool(descriptors.problems()) is is_short
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = Descriptors(100_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        descriptors.check()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "100000 of 100000" in descriptors.problems()[0]


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    """From the soft limit to the hard one, and never lowered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_crowding_clients_are_a_note_for_a_while() -> None:
    """The note names the setting and counts; the samples are in the catalogue."""
    clock = Clock()
    dropped = {"crowded": 0, "timeout": 0}
    upkeep = Upkeep(Supervisor(), Descriptors(10**6), ServiceManager(), clock)
    upkeep.follow("metrics", dropped)
    upkeep.check()
    assert upkeep.notices() == []
    dropped["crowded"] += 3
    upkeep.check()
    (notice,) = upkeep.notices()
    assert "metrics.listen" in notice
    assert "3 since" in notice
    clock.now_s += 300
    upkeep.check()
    assert upkeep.notices() == []
    assert all(len(BY_NAME[name].labels) == len(labels) for name, labels, _ in upkeep.samples())


def test_a_status_that_systemd_has_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a new one wakes systemd, and one that did not get through is tried again."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    manager = ServiceManager()
    manager.status("all is well")  # nobody is there yet
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        for text in ("all is well", "all is well", "trouble", "trouble", "all is well"):
            manager.status(text)
        systemd.setblocking(False)
        assert [systemd.recv(100) for _ in range(3)] == [
            b"STATUS=all is well",
            b"STATUS=trouble",
            b"STATUS=all is well",
        ]
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
    manager.close()
