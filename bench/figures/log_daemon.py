"""Speed of the whole daemon on a growing log, compared with peers."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.log_lines import attack_lines
from bench.peers import servers
from bench.process import cpu_s, memory_mb
from bench.registry import Figure, benchmark, progress
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

_ROUNDS = 3
_LINES = 200_000
_FEWER = {"crowdsec": 20_000, "sshguard": 20_000}
"""They would take minutes: sshguard compares each attack with every attacker that it knows."""
_TIMEOUT_S = 120.0
_READING_S = 4.0
"""The wait before the first request, because requests cost the daemon CPU time."""
_RECORDS = 'nodewarden_source_records_total{source="files"}'
_CONFIGURATION = """detectors:
  failures:
    sshd: {{maxretry: 10000, filter: sshd, backend: files, files: ['{log}']}}
"""


@benchmark("log_daemon_lines_per_s", "log_daemon_peak_mb")
def log_daemon() -> Iterator[Figure]:
    """Append 200,000 lines of a brute force at once to a log that the running daemon reads (lines per CPU second).

    The installed command runs with the detector sshd, which counts but never bans; every line must have been read. Also
    measured: its peak memory (VmHWM, MB of 10^6 bytes). Peers read the same lines, count and never ban: the server of
    fail2ban with its filter sshd; CrowdSec with its LAPI, its bouncer and a scenario that never overflows; sshguard
    with a threshold that is never reached; these two the first 20,000 lines only, of 2,000 addresses. CPU seconds and
    peak memory of all processes of a peer together, medians over interleaved rounds.
    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *servers.available())}
    with Lab("node", "peer", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        for number in range(_ROUNDS):
            lines = list(attack_lines(_LINES, time.time() - _LINES / 200))
            for name, done in runs.items():
                place = Path(directory) / f"{name}{number}"
                log = place.with_suffix(".log")
                log.touch(mode=0o600)
                read = lines[: _FEWER.get(name, _LINES)]
                if name == "ours":
                    took_s, peak_mb = _read(lab["node"], place, log, read)
                else:
                    with servers.running(name, lab["peer"], place, [log], bans=False) as server:
                        took_s, peak_mb = servers.read(server, log, read, _TIMEOUT_S)
                done.append((len(read) / took_s, peak_mb))
                progress(f"round {number + 1}/{_ROUNDS}, {name}: {done[-1][0]:,.0f}/s, {peak_mb:.0f} MB")
    for figure, unit, column in (("log_daemon_lines_per_s", "lines/s", 0), ("log_daemon_peak_mb", "MB", 1)):
        values = {name: median([run[column] for run in done]) for name, done in runs.items()}
        ours = values.pop("ours")
        yield Figure.with_peers(figure, ours, unit, {name: values.get(name) for name in servers.NAMES})


def _read(host: Host, directory: Path, log: Path, lines: list[str]) -> tuple[float, float]:
    """Return the daemon's CPU seconds for these lines, and its VmHWM in MB."""
    daemon = Daemon(host, directory, _CONFIGURATION.format(log=log))
    daemon.start()
    before_s = cpu_s(daemon.pid)
    with log.open("a") as file:
        file.writelines(lines)
    time.sleep(_READING_S)
    wait_for(lambda: daemon.metrics()[_RECORDS] == len(lines), "all lines to be read", lambda: daemon.log, _TIMEOUT_S)
    took_s, peak_mb = cpu_s(daemon.pid) - before_s, memory_mb(daemon.pid, "VmHWM")
    daemon.stop()
    return took_s, peak_mb
