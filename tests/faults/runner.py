"""Injects faults into the daemon of a rig, one after the other, and judges what became of it.

strace(1) has the call fail in all threads of the daemon, for a moment in which each part of it is put to work.
Afterwards nothing fails any more, and the daemon must be what it was before.
"""

import contextlib
import enum
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from monitor.control.protocol import Reload
from tests.faults.rig import Rig
from tests.faults.table import Case

_FAULT_S = 1.2
_RECOVER_S = 30.0
_ATTACH_S = 10.0


class Fate(enum.StrEnum):
    """What became of the daemon, best first."""

    SURVIVED = "survived"
    """All that happened during the fault was found."""
    RETRIED = "retried"
    """What happened during the fault was found, after it had passed; it was reported."""
    DEGRADED = "degraded"
    """Something that happened during the fault was lost, and that was reported."""
    REFUSED = "refused"
    """It did not start, said why, and systemd starts it again."""
    SILENT = "silent"
    """Something was lost and nothing was reported."""
    STUCK = "stuck"
    """The fault passed, and the daemon still does not work as before."""
    LOST = "bans lost"
    DIED = "died"


GOOD = frozenset({Fate.SURVIVED, Fate.RETRIED, Fate.DEGRADED, Fate.REFUSED})


class Outcome(NamedTuple):
    """The fate in one case, and what explains it."""

    cases: Sequence[Case]
    fate: Fate
    detail: str

    @property
    def is_good(self) -> bool:
        """Whether the daemon did what it must."""
        return self.fate in GOOD

    def __str__(self) -> str:
        """Return a line of the table."""
        return f"{', '.join(map(str, self.cases)):<32} {self.fate:<10} {self.detail}".rstrip()


def run(rig: Rig, groups: Iterator[Sequence[Case]], report: Callable[[Outcome], None]) -> list[Outcome]:
    """Inject each group of faults at once; start the daemon again where it does not recover."""
    outcomes = []
    for cases in groups:
        outcome = _inject(rig, cases)
        report(outcome)
        outcomes.append(outcome)
        if not outcome.is_good:
            rig.restart()
    return outcomes


def _inject(rig: Rig, cases: Sequence[Case]) -> Outcome:
    read = len(rig.daemon.log)
    before = rig.problems()
    with _failing(rig.daemon.pid, cases):
        attackers = rig.attacks()
        rig.stir()
        seen = rig.problems()
        time.sleep(_FAULT_S)
        early = rig.banned(_FAULT_S)
    if not rig.is_alive:
        return Outcome(cases, Fate.DIED, _last_line(rig.daemon.log[read:]))
    rig.ask(Reload())  # the operator tries again what was refused during the fault
    if not until(lambda: not rig.troubles(), _RECOVER_S):
        return Outcome(cases, Fate.STUCK, "; ".join(rig.troubles()) if rig.is_alive else "died later")
    after = rig.attacks()
    if not until(lambda: set(after) <= rig.banned(), _RECOVER_S):
        return Outcome(cases, Fate.STUCK, f"{_missing(after, rig.banned())} of later attacks were not found")
    kernel, banned = rig.in_kernel(), rig.banned()
    if lost := [one for one in rig.sentinels if one not in banned or f" {one} " not in kernel]:
        return Outcome(cases, Fate.LOST, ", ".join(lost))
    log = [line for line in rig.daemon.log[read:].splitlines() if " WARNING " in line or " ERROR " in line]
    reports = [line for line in log if "changed the table" not in line] + [
        one for one in seen if one not in before and one != "no answer"
    ]
    detail = reports[0][:150] if reports else ""
    if missing := _missing(attackers, banned):
        return Outcome(cases, Fate.DEGRADED if reports else Fate.SILENT, f"not found: {missing}; {detail}")
    return Outcome(cases, Fate.SURVIVED if set(attackers) <= early else Fate.RETRIED, detail)


def _missing(attackers: Sequence[str], banned: set[str]) -> str:
    """Name the sources of evidence whose attackers are not banned."""
    names = ("file", "journal", "scan")
    return ", ".join(name for name, address in zip(names, attackers, strict=True) if address not in banned)


@contextlib.contextmanager
def _failing(pid: int, cases: Sequence[Case]) -> Iterator[None]:
    """Have these calls of a process fail."""
    calls = ",".join(case.call for case in cases)
    injections = [word for case in cases for word in ("-e", f"inject={case.call}:error={case.errno}{_when(case)}")]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *injections, "-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        if not until(lambda: _is_traced(pid), _ATTACH_S):
            raise RuntimeError(f"strace does not attach: {' '.join(command)}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(_ATTACH_S)


def _when(case: Case) -> str:
    """Have every second call interrupted: a call that always is would be repeated for ever, and no signal does that."""
    return ":when=1+2" if case.errno == "EINTR" else ""


def _is_traced(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)
    return True


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a condition; whether it became true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.1)
    return True


def _last_line(log: str) -> str:
    lines = log.strip().splitlines()
    return lines[-1] if lines else ""
