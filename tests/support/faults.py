"""Faults in the life of the daemon, applied to a real one: each function returns when the daemon answers again.

RuntimeError if the fault did not occur, or if the daemon does not recover.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from tests.support.daemon import wait_for
from tests.support.node import UNIT, Node
from tests.support.siege import Siege

Fault: TypeAlias = Callable[[Node, Siege], None]

_STATE = "/var/lib/nodewarden"
_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
_OFFSET = "/etc/nodewarden-clock"


def _demand(condition: object, what: str, node: Node) -> None:
    if not condition:
        raise RuntimeError(f"{what}\n{node.log(UNIT)}")


def restart(node: Node, siege: Siege) -> None:
    """`systemctl restart`."""
    _demand(node.restart(), "it does not restart", node)


def stand_still(node: Node, siege: Siege) -> None:
    """`systemctl stop`, then packets, then `systemctl start`."""
    _demand(node.systemctl("stop", UNIT), "it does not stop", node)
    siege.await_packets()
    _demand(node.systemctl("start", UNIT), "it does not start", node)


def reload(node: Node, siege: Siege) -> None:
    """`systemctl reload` of a changed configuration."""
    node.configure("detectors: {port_scan: {maxretry: 77}}\n")
    _demand(node.systemctl("reload", UNIT), "it does not reload", node)
    _demand(_maxretry(node) == 77, "the reloaded configuration is not in force", node)
    node.configure()
    _demand(node.systemctl("reload", UNIT), "it does not reload back", node)


def reload_of_a_faulty_configuration(node: Node, siege: Siege) -> None:
    """`systemctl reload` of a faulty configuration: systemctl reports a failure, and the old one stays in force."""
    before = _maxretry(node)
    node.configure("detectors: {port_scan: {maxretry: many}}\n")
    _demand(not node.systemctl("reload", UNIT), "a faulty configuration was not refused", node)
    _demand("30-more.yaml" in node.log(UNIT), "the log does not say where the fault is", node)
    _demand(node.unit(UNIT, "ActiveState")["ActiveState"] == "active", "it ended", node)
    _demand(_maxretry(node) == before, "the configuration changed", node)
    node.configure()
    _demand(node.systemctl("reload", UNIT), "it does not reload", node)


def _maxretry(node: Node) -> int:
    detectors = {one["name"]: one for one in node.ask("status")["detectors"]}
    return int(detectors["port_scan"]["maxretry"])


def kill(node: Node, siege: Siege) -> None:
    """`kill -9`."""
    with _restarted_by_systemd(node):
        os.kill(node.main_pid(UNIT), signal.SIGKILL)


def hang(node: Node, siege: Siege) -> None:
    """The loop is stuck, and the watchdog (here three seconds) kills the daemon."""
    node.drop_in("[Service]\nWatchdogSec=3\n")
    _demand(node.restart(), "it does not restart", node)
    with _restarted_by_systemd(node):
        os.kill(node.main_pid(UNIT), signal.SIGSTOP)
    _demand("Watchdog timeout" in node.log(UNIT), "it was not the watchdog", node)
    node.drop_in("")
    _demand(node.restart(), "it does not restart", node)


@contextlib.contextmanager
def _restarted_by_systemd(node: Node) -> Iterator[None]:
    before = int(node.unit(UNIT, "NRestarts")["NRestarts"])
    yield
    wait_for(
        lambda: int(node.unit(UNIT, "NRestarts")["NRestarts"]) == before + 1,
        "systemd to restart it",
        lambda: node.log(UNIT),
        timeout_s=20,
    )
    node.await_answer()


def reboot(node: Node, siege: Siege) -> None:
    """The machine reboots; its kernel forgets all bans."""
    node.reboot()
    node.await_answer()


def full_disk(node: Node, siege: Siege) -> None:
    """No space for the state: bans continue and `status` reports it; a restart meanwhile; then there is space again."""
    _demand(node.systemctl("stop", UNIT), "it does not stop", node)
    node.look("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "small", _STATE)
    try:
        node.look("dd", "if=/dev/zero", f"of={_STATE}/rubbish", "bs=4k", check=False)
        _demand(node.systemctl("start", UNIT), "it does not start", node)
        node.look("nodewarden", "ban", *_MEANWHILE, check=False)
        wait_for(lambda: "state is not being saved" in _problems(node), "the full disk to be reported", timeout_s=5)
        _demand(node.restart(), "it does not restart without space", node)
        node.look("rm", f"{_STATE}/rubbish")
        wait_for(lambda: "state is not being saved" not in _problems(node), "saving to continue", timeout_s=40)
        _demand(set(_MEANWHILE) <= set(node.banned()), "bans added without space are gone", node)
        node.look("nodewarden", "unban", *_MEANWHILE)
    finally:
        node.systemctl("stop", UNIT)
        node.look("umount", _STATE)
    _demand(node.systemctl("start", UNIT), "it does not start", node)


_MEANWHILE = ("198.51.100.1", "198.51.100.2")


def _problems(node: Node) -> str:
    return "\n".join(node.ask("status")["problems"])


def clock_jumps(node: Node, siege: Siege) -> None:
    """The daemon's clock jumps an hour ahead and back again.

    A container has the clock of its host, so only the daemon's clock changes (libfaketime), not kernel and journal.
    """
    node.write(_OFFSET, "+0\n")
    environment = f"LD_PRELOAD={_FAKETIME} FAKETIME_TIMESTAMP_FILE={_OFFSET} FAKETIME_NO_CACHE=1"
    node.drop_in(f"[Service]\nEnvironment={environment} FAKETIME_DONT_FAKE_MONOTONIC=1\n")
    _demand(node.restart(), "it does not start", node)
    for count, offset in enumerate(("+3600\n", "-3600\n", "+0\n"), 1):
        before = _steps(node)
        node.path(_OFFSET).write_text(offset)
        wait_for(partial(_has_stepped, node, before), "the jump to be noticed", lambda: node.log(UNIT))
        _demand(siege.losses().lost == 0, f"bans are lost by jump {count}", node)
    node.drop_in("")
    _demand(node.restart(), "it does not restart", node)


def _steps(node: Node) -> int:
    return node.log(UNIT).count("the clock was set by")


def _has_stepped(node: Node, before: int) -> bool:
    return _steps(node) == before + 1


def journal_rotates(node: Node, siege: Siege) -> None:
    """journald starts new files and removes the old ones."""
    node.look("journalctl", "--rotate")
    node.look("journalctl", "--vacuum-time=1s")
    node.await_answer()


FAULTS: MappingProxyType[str, Fault] = MappingProxyType(
    {
        fault.__name__: fault
        for fault in (
            *(restart, stand_still, reload, reload_of_a_faulty_configuration, kill, hang, reboot),
            *(full_disk, clock_jumps, journal_rotates),
        )
    }
)
