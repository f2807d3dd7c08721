"""Time to start with many jails."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.peers import fail2ban
from bench.process import cpu_s
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from monitor.filters.definition import FilterError
from monitor.filters.library import load_filter
from monitor.model.addresses import parse_address
from tests.support.daemon import Daemon
from tests.support.lab import Lab

_ROUNDS = 5
_BUILT_IN = ("sshd", "postfix", "dovecot", "exim", "proftpd", "vsftpd", "nginx-auth", "apache-auth")
_JAILS = 97
_TIMEOUT_S = 60.0
_OFFENDER = "198.18.0.{}"


@benchmark("start_97_jails_s")
def start_jails() -> Iterator[Figure]:
    """Start the daemon with all 89 filters of fail2ban and 8 built-in ones, each on a file of its own (seconds).

    The filters are those of Debian's fail2ban that have expressions of their own. The daemon runs twice before: it
    compiles and keeps what it keeps. Each file then gets a line while the daemon is down, that of the built-in filter
    sshd a failure. The clock (CLOCK_MONOTONIC) starts just before the command is executed; the time ends with the later
    of two: it answers `status`, and the kernel's notification that the source of this failure is in the set. Median of
    five starts. The progress output has the CPU time of the daemon until then. No peer.
    """
    if not fail2ban.fetch():
        raise BenchmarkError("fail2ban's filters are not available")
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        directory = Path(name)
        daemon = Daemon(lab["node"], directory, _configuration(directory))
        with SetWatch(lab["node"]) as watch:
            daemon.start()
            _write(directory, _OFFENDER.format(0))
            _wait(watch, _OFFENDER.format(0), daemon)
            daemon.stop()
            _start_s(daemon, directory, watch, _OFFENDER.format(_ROUNDS + 1))
            took_s = [_start_s(daemon, directory, watch, _OFFENDER.format(number)) for number in range(1, _ROUNDS + 1)]
    yield Figure("start_97_jails_s", median(took_s), "s")


def _configuration(directory: Path) -> str:
    filters = {f"built-in-{name}": name for name in _BUILT_IN}
    for path in sorted((fail2ban.HOME / "etc/fail2ban/filter.d").glob("*.conf")):
        try:
            load_filter(str(path))
        except FilterError:  # a part that others include
            continue
        filters[f"fail2ban-{path.stem.lower()}"] = str(path)
    if len(filters) != _JAILS:
        raise BenchmarkError(f"{len(filters)} filters, expected {_JAILS}")
    text = "detectors:\n  failures:\n"
    for name, reference in filters.items():
        log = _log(directory, name)
        log.parent.mkdir(exist_ok=True)
        log.touch(mode=0o600)
        text += f"    {name}: {{filter: '{reference}', backend: files, files: ['{log}'], maxretry: 1}}\n"
    return text


def _start_s(daemon: Daemon, directory: Path, watch: SetWatch, offender: str) -> float:
    _write(directory, offender)
    start_s = time.monotonic()
    daemon.start()
    answered_s = time.monotonic()
    banned_s = _wait(watch, offender, daemon)
    spent_s = cpu_s(daemon.pid)
    daemon.stop()
    progress(f"answers after {answered_s - start_s:.2f} s, bans after {banned_s - start_s:.2f} s; {spent_s:.2f} s CPU")
    return max(answered_s, banned_s) - start_s


def _write(directory: Path, offender: str) -> None:
    """Append a line to each log: that of sshd is a failure."""
    date = time.strftime("%b %e %H:%M:%S")
    failures = _log(directory, "built-in-sshd")
    for log in failures.parent.iterdir():
        failed = f"sshd[47]: Failed password for root from {offender} port 40112 ssh2"
        with log.open("a") as file:
            file.write(f"{date} web1 {failed if log == failures else 'cron[4]: nothing of interest'}\n")


def _log(directory: Path, name: str) -> Path:
    return directory / "logs" / f"{name}.log"


def _wait(watch: SetWatch, offender: str, daemon: Daemon) -> float:
    banned_s = watch.wait_for(parse_address(offender), _TIMEOUT_S)
    if banned_s is None:
        raise BenchmarkError(f"{offender} was not banned within {_TIMEOUT_S} s\n{daemon.log}")
    return banned_s
