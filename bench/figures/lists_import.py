"""Importing a block list of a million lines: time and memory of the child."""

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress

_LINES = 1_000_000
_PEER_LINES = 200_000
_LIMIT_S, _LIMIT_MB = 10.0, 150.0
_REPORT = "print(time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)"
_IMPORT = f"""
import resource, sys, time
from pathlib import Path
begun = time.process_time()
from monitor.lists.renewal import NodeView, Renewal, Step
from monitor.lists.settings import ListSettings
step, state = Renewal(Path(sys.argv[2]), NodeView()).renew("bench", ListSettings(file=sys.argv[1], max=1 << 20), 1e9)
assert step is Step.RENEWED, state.fault
{_REPORT}
"""
_PEER = f"""
import ipaddress, resource, sys, time
begun = time.process_time()
with open(sys.argv[1]) as file:
    found = [ipaddress.ip_network(line.strip()) for line in file]
kept = [one for one in ipaddress.collapse_addresses(found) if not one.is_private]
{_REPORT}
"""


@benchmark("lists_import_1m_s", "lists_import_1m_rss_mb")
def lists_import() -> Iterator[Figure]:
    """Renew a list of a million lines, three in ten of them networks, from a file to the copy on disk.

    CPU time of the child with its imports, and its peak memory. Peer: `ipaddress` in the standard library reads and
    collapses a fifth of the lines and leaves out private ones; both its figures are extrapolated to all lines. Fails
    at 10 s or 150 MB.
    """
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory = Path(name)
        (directory / "lists").mkdir()
        list_, part = directory / "list.txt", directory / "part.txt"
        _write(list_, _LINES)
        _write(part, _PEER_LINES)
        spent_s, peak_mb = _measure(_IMPORT, list_, directory)
        peer_s, peer_mb = (_LINES / _PEER_LINES * value for value in _measure(_PEER, part, directory))
    progress(f"{spent_s:.1f} s, {peak_mb:.0f} MB; ipaddress {peer_s:.1f} s, {peer_mb:.0f} MB")
    if spent_s >= _LIMIT_S or peak_mb >= _LIMIT_MB:
        raise BenchmarkError(f"{spent_s:.1f} s and {peak_mb:.0f} MB, expected less than 10 s and 150 MB")
    yield Figure.with_peer("lists_import_1m_s", spent_s, "s", peer_s)
    yield Figure.with_peer("lists_import_1m_rss_mb", peak_mb, "MB", peer_mb)


def _write(path: Path, lines: int) -> None:
    """Write a list of random networks of public addresses."""
    chance = random.Random(1)
    with path.open("w") as file:
        for _ in range(lines):
            number = chance.randrange(11 << 24, 100 << 24)
            is_network = chance.random() < 0.3
            address = number.to_bytes(4)[: 3 if is_network else 4]
            file.write(".".join(map(str, address)) + (".0/24\n" if is_network else "\n"))


def _measure(code: str, *arguments: Path) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB of a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    spent_s, peak_mb = map(float, done.stdout.split())
    return spent_s, peak_mb
