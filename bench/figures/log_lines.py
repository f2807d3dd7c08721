"""Speed of the filters on whole logs, compared with fail2ban-regex."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec

from bench.log_lines import attack_lines, benign_lines
from bench.peers import fail2ban
from bench.registry import BenchmarkError, Figure, benchmark, progress

_ROUNDS = 5
_ATTACK_LINES = 200_000
_BENIGN_LINES = 1_000_000
_PEER_BENIGN_LINES = 100_000
_MANY = 1000


class _Run(msgspec.Struct):
    """The output of `bench.log_scan`."""

    lines: int
    failures: int
    cpu_s: float
    peak_mb: float

    @property
    def lines_per_s(self) -> float:
        return self.lines / self.cpu_s


@benchmark("log_attack_lines_per_s", "log_attack_cpu_s", "log_attack_peak_mb", "log_benign_lines_per_s")
def log_lines() -> Iterator[Figure]:
    """Match an sshd log of 200,000 lines, 55 % failures, and one of other services with the filter sshd.

    Measures what the daemon does with a block of a file: LogMatcher.scan, on one core, in a separate process; lines per
    second of CPU time. Peer: Debian's `fail2ban-regex` with its filter sshd on the same attack, and on the first
    100,000 of a million benign lines, without its start except for peak memory. Medians over interleaved rounds.
    """
    has_peer = fail2ban.fetch()
    with tempfile.TemporaryDirectory() as directory:
        attack, benign, few = _logs(Path(directory))
        idle_s = fail2ban.run_regex(Path("/dev/null"), "sshd").cpu_s if has_peer else 0.0
        attacks, benigns, peers, peers_benign = [], [], [], []
        for number in range(_ROUNDS):
            attacks.append(_scan(attack))
            benigns.append(_scan(benign))
            if has_peer:
                peers.append(fail2ban.run_regex(attack, "sshd"))
                peers_benign.append(fail2ban.run_regex(few, "sshd"))
                progress(f"the peer found {peers[-1].matched} failures, the filter {attacks[-1].failures}")
            progress(
                f"round {number + 1}/{_ROUNDS}: {attacks[-1].lines_per_s:,.0f}/s, {benigns[-1].lines_per_s:,.0f}/s"
            )
    cpu_s = median(peer.cpu_s - idle_s for peer in peers) if peers else None
    yield Figure.with_peer(
        "log_attack_lines_per_s",
        median(run.lines_per_s for run in attacks),
        "lines/s",
        _ATTACK_LINES / cpu_s if cpu_s else None,
    )
    yield Figure.with_peer("log_attack_cpu_s", median(run.cpu_s for run in attacks), "s", cpu_s)
    yield Figure.with_peer(
        "log_attack_peak_mb",
        median(run.peak_mb for run in attacks),
        "MB",
        median(peer.peak_mb for peer in peers) if peers else None,
    )
    yield Figure.with_peer(
        "log_benign_lines_per_s",
        median(run.lines_per_s for run in benigns),
        "lines/s",
        median(peer.lines / (peer.cpu_s - idle_s) for peer in peers_benign) if peers_benign else None,
    )


@benchmark("log_1000_filters_ratio")
def log_many_filters() -> Iterator[Figure]:
    """Ratio of the speed on benign lines with 1,000 more filters that read the same log to the speed without them.

    Each has two expressions. Medians over interleaved rounds.
    """
    with tempfile.TemporaryDirectory() as directory:
        _, benign, _ = _logs(Path(directory))
        ratios = []
        for number in range(3):
            alone, beside = _scan(benign), _scan(benign, _MANY)
            ratios.append(beside.lines_per_s / alone.lines_per_s)
            progress(f"round {number + 1}/3: {ratios[-1]:.2f}, peak {beside.peak_mb:.0f} MB")
    yield Figure("log_1000_filters_ratio", median(ratios), "")


def _logs(directory: Path) -> tuple[Path, Path, Path]:
    """Write the attack log, the benign log, and the first lines of the latter."""
    attack, benign, few = (directory / name for name in ("attack.log", "benign.log", "few.log"))
    start_s = time.time() - 7200
    for path, lines in (
        (attack, attack_lines(_ATTACK_LINES, start_s)),
        (benign, benign_lines(_BENIGN_LINES, start_s)),
        (few, benign_lines(_PEER_BENIGN_LINES, start_s)),
    ):
        with path.open("w") as file:
            file.writelines(lines)
    return attack, benign, few


def _scan(log: Path, copies: int = 0) -> _Run:
    done = subprocess.run(
        [sys.executable, "-m", "bench.log_scan", log, "sshd", str(copies)], capture_output=True, check=False, text=True
    )
    if done.returncode:
        raise BenchmarkError(f"bench.log_scan failed: {done.stderr[-500:]}")
    return msgspec.json.decode(done.stdout, type=_Run)
