"""System calls of the running daemon fail, injected by strace: it lives, keeps all bans, reports and recovers.

This is the reduced form of `make faults`: one daemon, several calls at a time.
"""

from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.faults.runner import run
from tests.faults.table import ERRNOS, Case
from tests.support.journald import JOURNALD
from tests.support.needs import cannot_run

pytestmark = pytest.mark.kernel

GROUPS: tuple[tuple[Case, ...], ...] = (
    (Case("sendto", "ENOBUFS"), Case("fdatasync", "EIO"), Case("pwrite64", "ENOSPC")),
    (Case("recvfrom", "ENOMEM"), Case("bpf", "ENOMEM"), Case("clone3", "EAGAIN")),
    (Case("recvmsg", "EIO"), Case("newfstatat", "EACCES")),
    (Case("read", "EIO"), Case("setsockopt", "ENOMEM")),
    (Case("socket", "EMFILE"), Case("openat", "EMFILE"), Case("accept4", "EMFILE")),
    (Case("epoll_wait", "EBADF"), Case("mmap", "ENOMEM")),
)


def test_faults_of_the_system_cost_no_ban_and_not_the_daemon(tmp_path: Path) -> None:
    """After each group everything works again, and what was lost meanwhile was reported."""
    if not JOURNALD.exists():
        cannot_run(f"needs {JOURNALD}")
    with Rig.built(tmp_path) as rig:
        process = rig.daemon.process
        outcomes = run(rig, iter(GROUPS), print)
        assert [str(one) for one in outcomes if not one.is_good] == [], rig.daemon.log
        assert len(outcomes) == len(GROUPS)
        assert rig.daemon.process is process
        assert rig.daemon.stop() == 0


def test_the_groups_are_part_of_the_table() -> None:
    """The reduced form tries what `make faults` tries, each call once."""
    cases = [case for group in GROUPS for case in group]
    assert all(case.errno in ERRNOS[case.call] for case in cases)
    assert len({case.call for case in cases}) == len(cases)
