"""Speed of the filters on whole logs, compared with the parsers of peers."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.log_lines import attack_lines, benign_lines
from bench.peers import fail2ban, parsers, servers
from bench.registry import Figure, benchmark, progress
from bench.scan_run import scan
from tests.support.lab import Lab

_ROUNDS = 5
_ATTACK_LINES = 200_000
_BENIGN_LINES = 1_000_000
_PEER_BENIGN_LINES = 100_000
_MANY = 1000
_FAIL2BAN_SSHD = str(fail2ban.HOME / "etc/fail2ban/filter.d/sshd.conf")
_ATTEMPTS_PER_20_LINES = 9
"""Lines with a password that was tried: three by an unknown user and six by a known one."""


@benchmark("log_attack_lines_per_s", "log_attack_cpu_s", "log_attack_peak_mb", "log_benign_lines_per_s")
def log_lines() -> Iterator[Figure]:
    """Match an sshd log of 200,000 lines, 55 % failures, and one of other services with the filter sshd.

    Measures what the daemon does with a block of a file: LogMatcher.scan, on one core, in a separate process; lines per
    second of CPU time. Peers: Debian's `fail2ban-regex` with its filter sshd on the same attack, and on the first
    100,000 of a million benign lines; `crowdsec -dsn` with its parsers and no scenario, on the first 20,000 lines of
    both; sshguard's parser alone, on all; each without its start except for peak memory. Medians over interleaved
    rounds. The progress output has the number of failures that each finds.
    """
    peers = servers.available()
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        attack, benign, few = _logs(directory)
        readers = {peer: parsers.reader(peer, lab["node"], directory) for peer in peers}
        attacks, benigns = [], []
        rates: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
        for number in range(_ROUNDS):
            attacks.append(scan(attack))
            benigns.append(scan(benign))
            shown = f"{attacks[-1].lines_per_s:,.0f}/s, {benigns[-1].lines_per_s:,.0f}/s"
            for peer, read in readers.items():
                rates[peer].append((read(attack), read(few)))
                shown += f"; {peer} {rates[peer][-1][0]:,.0f}/s, {rates[peer][-1][1]:,.0f}/s"
            progress(f"round {number + 1}/{_ROUNDS}: {shown}")
        regex = fail2ban.run_regex(attack, "sshd") if "fail2ban" in peers else None
        if regex:
            _explain(attacks[-1].failures, scan(attack, reference=_FAIL2BAN_SSHD).failures, regex.matched)
    middle = {peer: [median(column) for column in zip(*pairs, strict=True)] for peer, pairs in rates.items()}
    for figure, runs, column in (("log_attack_lines_per_s", attacks, 0), ("log_benign_lines_per_s", benigns, 1)):
        rate = median(run.lines_per_s for run in runs)
        compared = {peer: middle[peer][column] if peer in middle else None for peer in servers.NAMES}
        yield Figure.with_peers(figure, rate, "lines/s", compared)
    cpu_s = _ATTACK_LINES / middle["fail2ban"][0] if regex else None
    yield Figure.with_peer("log_attack_cpu_s", median(run.cpu_s for run in attacks), "s", cpu_s)
    peak_mb = regex.peak_mb if regex else None
    yield Figure.with_peer("log_attack_peak_mb", median(run.peak_mb for run in attacks), "MB", peak_mb)


def _explain(ours: int, with_its_filter: int, its: int) -> None:
    """Say why the numbers of failures differ, which are no figures of speed."""
    attempts = _ATTACK_LINES * _ATTEMPTS_PER_20_LINES // 20
    progress(
        f"failures: ours {ours:,}, fail2ban {its:,}, ours with fail2ban's filter {with_its_filter:,}, "
        f"login attempts {attempts:,}. fail2ban counts `Invalid user`, too, which ours leaves to the attempts that "
        "follow; both count `maximum authentication attempts exceeded`, the trace of attempts that sshd does not log"
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
            alone, beside = scan(benign), scan(benign, _MANY)
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
