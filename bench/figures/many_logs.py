"""The cost of following many logs that grow slowly, compared with peers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.growing_logs import grow
from bench.peers import servers
from bench.process import cpu_s
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon
from tests.support.lab import Host, Lab

_LOGS = 20
_LINES_PER_S = 1000
_MEASURE_S = 10.0
_WARM_S = 3.0
_ROUNDS = 3
_RECORDS = 'nodewarden_source_records_total{source="files"}'
_CONFIGURATION = """detectors:
  failures:
    sshd: {{maxretry: 10000, filter: sshd, backend: files, files: [{logs}]}}
"""


@benchmark("logs_20_cpu_percent")
def many_logs() -> Iterator[Figure]:
    """Follow 20 logs that together get 1,000 lines of a brute force per second (percent of a core).

    Every 20 ms each log gets one line. The installed command runs with the detector sshd, which counts but never bans;
    so do fail2ban with inotify, CrowdSec and sshguard. User and system time of all processes over ten seconds, three
    seconds after the first lines; medians over interleaved rounds.
    """
    runs: dict[str, list[float]] = {name: [] for name in ("ours", *servers.available())}
    with Lab("node", "peer", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        for number in range(_ROUNDS):
            for name, done in runs.items():
                place = Path(directory) / f"{name}{number}"
                place.mkdir()
                done.append(_percent(name, lab["node" if name == "ours" else "peer"], place))
            shown = ", ".join(f"{name} {done[-1]:.2f} %" for name, done in runs.items())
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
    ours, *theirs = (median(runs[name]) if name in runs else None for name in ("ours", *servers.NAMES))
    yield Figure.with_peers("logs_20_cpu_percent", ours or 0.0, "%", dict(zip(servers.NAMES, theirs, strict=True)))


def _percent(name: str, host: Host, directory: Path) -> float:
    """Return the percentage of a core that one program uses."""
    logs = [directory / f"{number}.log" for number in range(_LOGS)]
    for log in logs:
        log.touch(mode=0o600)
    if name == "ours":
        daemon = Daemon(host, directory / "daemon", _CONFIGURATION.format(logs=", ".join(f"'{log}'" for log in logs)))
        daemon.start()
        percent, written = grow(logs, _LINES_PER_S, lambda: cpu_s(daemon.pid), warm_s=_WARM_S, measure_s=_MEASURE_S)
        read = daemon.metrics()[_RECORDS]
        daemon.stop()
        if not 0.99 * written <= read <= written:
            raise BenchmarkError(f"{read:.0f} of {written} lines were read")
        return percent
    with servers.running(name, host, directory / "peer", logs, bans=False) as server:
        return grow(logs, _LINES_PER_S, lambda: servers.used_s(server), warm_s=_WARM_S, measure_s=_MEASURE_S)[0]
