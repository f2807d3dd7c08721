"""System calls of the running daemon that fail, injected by strace."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.faults.rig import Rig
from tests.faults.runner import run
from tests.faults.table import ERRNOS, Case


@benchmark("faults_tried", "faults_survived")
def syscall_faults() -> Iterator[Figure]:
    """Faults injected into the running daemon, and those after which it is what it was before.

    Each system call that the daemon makes fails once in the table's first errno, in all threads, for a second or two in
    which the daemon reads an attack from each source, a ban is ordered, rules are changed by another program, the
    configuration is reloaded and metrics are scraped. It survives if it still runs, has all bans in its list and in the
    kernel, has found the attacks or reported that something was wrong, and finds attacks and reports no problem within
    30 s after the fault. `make faults` tries all errnos, and the start. Fails if the two figures differ. No peer.
    """
    cases = ((Case(call, errnos[0]),) for call, errnos in ERRNOS.items())
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as directory, Rig.built(Path(directory)) as rig:
        outcomes = run(rig, cases, lambda outcome: progress(str(outcome)))
    survived = sum(outcome.is_good for outcome in outcomes)
    if survived != len(outcomes):
        raise BenchmarkError(f"of {len(outcomes)} faults {survived} were survived")
    yield Figure("faults_tried", len(outcomes), "faults")
    yield Figure("faults_survived", survived, "faults")
