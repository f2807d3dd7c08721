"""Debian's fail2ban, unpacked below build/: runs fail2ban-regex on files."""

import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.peers import packages
from bench.registry import BenchmarkError

HOME = packages.home("fail2ban")
"""The directory of the unpacked package."""
_TIMEOUT_S = 120
# A filter for packets logged by the firewall, as an operator would write it; fail2ban has none.
_FAILREGEX = r"kernel: \[[^\]]*\] .*IN=\S* OUT=\S* .*SRC=<ADDR> DST=\S+ .*PROTO=(?:TCP|UDP) SPT=\d+ DPT=\d+ "


def fetch() -> bool:
    """Unpack the package, with the inotify binding that it recommends; return whether it is available."""
    return packages.fetch("fail2ban", "fail2ban", "python3-pyinotify")


def environment() -> dict[str, str]:
    """Return the environment in which its programs find their modules."""
    return {**os.environ, "PYTHONPATH": str(HOME / "usr/lib/python3/dist-packages")}


def cpu_s(messages: Sequence[str], directory: Path) -> float:
    """Return the CPU seconds of `fail2ban-regex` for these packet lines, all of which must match."""
    log = directory / "kern.log"
    log.write_text("".join(f"Jun  1 12:00:00 node kernel: [ 1234.567890] {message}\n" for message in messages))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["/usr/bin/python3", _tool(), "--datepattern", "^%b %d %H:%M:%S", log, _FAILREGEX],
        env=environment(),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if f"{len(messages)} matched, 0 missed" not in done.stdout:
        raise BenchmarkError(f"fail2ban-regex did not match every line: {done.stdout[-300:]}{done.stderr[-300:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class RegexRun(msgspec.Struct, frozen=True):
    """The result of `fail2ban-regex` for a log, with its CPU seconds and peak memory in 10^6 bytes."""

    lines: int
    matched: int
    cpu_s: float
    peak_mb: float


def run_regex(log: Path, filter_name: str) -> RegexRun:
    """Run `fail2ban-regex` on a whole log with one of its filters, including its start."""
    configuration = HOME / "etc/fail2ban"
    filter_path = configuration / f"filter.d/{filter_name}.conf"
    command: list[str | Path] = ["/usr/bin/python3", _tool(), "-c", configuration, log, filter_path]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    found = re.search(r"^Lines: (\d+) lines, \d+ ignored, (\d+) matched", text, re.MULTILINE)
    if found is None:
        raise BenchmarkError(f"fail2ban-regex failed on {log}: {text[-300:]}")
    return RegexRun(int(found[1]), int(found[2]), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def _tool() -> Path:
    return HOME / "usr/bin/fail2ban-regex"
