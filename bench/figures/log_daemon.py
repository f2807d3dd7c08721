"""Speed of the whole daemon on a growing log, compared with the server of fail2ban."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.log_lines import attack_lines
from bench.peers import fail2ban
from bench.peers.fail2ban_server import Fail2banServer
from bench.process import cpu_s, memory_mb
from bench.registry import Figure, benchmark, progress
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Host, Lab

_ROUNDS = 3
_LINES = 200_000
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
    measured: its peak memory (VmHWM, MB of 10^6 bytes). Peer: the server of fail2ban with a jail of its filter sshd
    that counts but never bans, with polling. CPU seconds of the process, medians over interleaved rounds.
    """
    has_peer = fail2ban.fetch()
    ours, peers = [], []
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        for number in range(_ROUNDS):
            lines = list(attack_lines(_LINES, time.time() - _LINES / 200))
            ours.append(_read(lab["node"], Path(directory) / f"daemon{number}", lines))
            if has_peer:
                place = Path(directory) / f"peer{number}"
                place.mkdir()
                peers.append(Fail2banServer(lab["node"], place, "sshd").read(lines, _TIMEOUT_S))
            last = ours[-1:] + peers[-1:]
            shown = ", ".join(f"{_LINES / took_s:,.0f}/s, {peak_mb:.0f} MB" for took_s, peak_mb in last)
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
    for name, unit, column in (("log_daemon_lines_per_s", "lines/s", 0), ("log_daemon_peak_mb", "MB", 1)):
        mine, theirs = (median([run[column] for run in runs]) if runs else None for runs in (ours, peers))
        if column == 0:
            mine, theirs = (_LINES / took_s if took_s else None for took_s in (mine, theirs))
        yield Figure.with_peer(name, mine or 0.0, unit, theirs)


def _read(host: Host, directory: Path, lines: list[str]) -> tuple[float, float]:
    """Return the daemon's CPU seconds for these lines, and its VmHWM in MB."""
    directory.mkdir()
    log = directory / "auth.log"
    log.touch(mode=0o600)
    daemon = Daemon(host, directory / "daemon", _CONFIGURATION.format(log=log))
    daemon.start()
    before_s = cpu_s(daemon.pid)
    with log.open("a") as file:
        file.writelines(lines)
    time.sleep(_READING_S)
    wait_for(lambda: daemon.metrics()[_RECORDS] == len(lines), "all lines to be read", lambda: daemon.log, _TIMEOUT_S)
    took_s, peak_mb = cpu_s(daemon.pid) - before_s, memory_mb(daemon.pid, "VmHWM")
    daemon.stop()
    return took_s, peak_mb
