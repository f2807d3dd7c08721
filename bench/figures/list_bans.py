"""Time to list many bans on the command line."""

import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.many_bans import write_bans
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import NODEWARDEN, Daemon, wait_for
from tests.support.lab import Lab

_ROUNDS = 3
_BANS = 131_072
_START_S = 60.0
_ROOM = f"bans: {{max_bans: {_BANS}}}\n"


@benchmark("list_131k_s")
def list_bans() -> Iterator[Figure]:
    """Run `nodewarden list` with 131,072 bans in force (seconds).

    The installed command asks the running daemon and writes its table to a file: wall time from its start to its end,
    the start of Python included; median of three runs. Each ban must be there. The progress output has its CPU time,
    and both for `--json`. No peer.
    """
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory = Path(name)
        write_bans(directory / "state", _BANS)
        daemon = Daemon(lab["node"], directory, _ROOM)
        daemon.launch()
        in_force = f"{_BANS} bans are in force"
        wait_for(lambda: in_force in daemon.log, in_force, lambda: daemon.log, _START_S)
        wait_for(lambda: daemon.run("status").returncode == 0, "the daemon to answer", lambda: daemon.log)
        texts = [_run_s(directory) for _ in range(_ROUNDS)]
        _run_s(directory, "--json")
        daemon.stop()
    yield Figure("list_131k_s", median(texts), "s")


def _run_s(directory: Path, *options: str) -> float:
    listed = directory / "listed"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start_s = time.monotonic()
    with listed.open("wb") as file:
        command: list[str | Path] = [NODEWARDEN, "--socket", directory / "control.sock", "list", *options]
        subprocess.run(command, stdout=file, check=True, timeout=300)
    took_s = time.monotonic() - start_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = sum(1 for _ in listed.open("rb"))
    if lines < _BANS:
        raise BenchmarkError(f"{lines} lines of {_BANS} bans")
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    progress(f"list {' '.join(options)}: {took_s:.2f} s, {spent_s:.2f} s of CPU time, {lines} lines")
    return took_s
