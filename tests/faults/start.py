"""Faults during the start: the daemon starts all the same, or ends with a sentence and a code that systemd restarts."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.rig import Rig
from tests.faults.runner import Fate, Outcome, until
from tests.faults.table import ERRNOS, Case

_START_S = 90.0
_CONFIG_EXIT = 2
"""RestartPreventExitStatus in the unit."""
_POINTS = (0.5, 0.97)
"""Where in the start the calls begin to fail, as a share of those that an undisturbed start makes."""
_CALLS = ("socket", "bind", "sendto", "recvfrom", "openat", "read", "pwrite64", "mmap", "epoll_ctl", "clone3", "bpf")
_PER_CALL = 2


def run_starts(rig: Rig, report: Callable[[Outcome], None]) -> list[Outcome]:
    """Start the daemon again and again, each time with another call that fails from some point on."""
    rig.stop()
    counts = _count_calls(rig)
    outcomes = []
    for case, share in _cases():
        if counts.get(case.call):
            outcome = _start(rig, case, max(1, int(share * counts[case.call])))
            report(outcome)
            outcomes.append(outcome)
    return outcomes


def _cases() -> Iterator[tuple[Case, float]]:
    for call in _CALLS:
        for errno in ERRNOS[call][:_PER_CALL]:
            for share in _POINTS:
                yield Case(call, errno), share


def _count_calls(rig: Rig) -> dict[str, int]:
    """Return how often the main thread makes each call until the daemon answers."""
    with tempfile.NamedTemporaryFile("r", suffix=".counts") as counts:
        rig.launch("strace", "-D", "-c", "-U", "name,calls", "-o", counts.name)
        until(lambda: not rig.troubles(), _START_S)
        rig.stop()
        until(lambda: Path(counts.name).stat().st_size > 0, _START_S)
        rows = [line.split() for line in counts]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _start(rig: Rig, case: Case, first: int) -> Outcome:
    """Start it with a call that fails from its `first` time on, in each thread."""
    read = len(rig.daemon.log)
    rig.launch(
        *("strace", "-D", "-I", "1", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={case.call}"),
        *("-e", f"inject={case.call}:error={case.errno}:when={first}+"),
    )
    process = rig.daemon.process
    assert process is not None
    until(lambda: process.poll() is not None or bool(rig.problems() != ["no answer"]), 10.0)
    ended = process.poll()
    if ended is None:
        _detach(process)
        is_well = until(lambda: not rig.troubles(), _START_S)
        detail = "" if is_well else "; ".join(rig.troubles())
        rig.stop()
        return Outcome([case], Fate.RETRIED if is_well else Fate.STUCK, f"at the start, call {first}: {detail}")
    last = rig.daemon.log[read:].strip().rpartition("\n")[2]
    is_good = ended not in (0, _CONFIG_EXIT)
    return Outcome([case], Fate.REFUSED if is_good else Fate.DIED, f"at the start, call {first}: exit {ended}: {last}")


def _detach(process: "subprocess.Popen[str]") -> None:
    """End the tracer of a process, so that nothing fails any more."""
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/status") as status:  # noqa: PTH123
        tracer = next(int(line.split()[1]) for line in status if line.startswith("TracerPid:"))
        if tracer:
            os.kill(tracer, signal.SIGTERM)
