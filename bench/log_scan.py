"""A process that matches a log file as the daemon does: run by the benchmark `log_lines`.

`python -m bench.log_scan LOG FILTER [COPIES]` prints JSON: `lines`, `failures` found, `cpu_s` (CPU seconds of reading
and matching, without compiling), `first_s` (CPU seconds of the first line, which compiles the filters) and `peak_mb`
(of the process, 10^6 bytes). COPIES more filters, each for a different application, read the same log.
"""

import os
import sys
import time
from pathlib import Path

import msgspec

from bench.process import memory_mb
from monitor.filters.definition import FilterDefinition
from monitor.filters.library import load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.logs import LogBlock

_BLOCK_BYTES = 256 * 1024


def _run(log: Path, reference: str, copies: int) -> dict[str, float]:
    definitions = {"sshd": load_filter(reference), **dict(map(_further, range(copies)))}
    matcher = LogMatcher(definitions, findtimes_s=dict.fromkeys(definitions, 86400.0))
    detectors = tuple(definitions)
    first_s = time.process_time()
    matcher.scan(LogBlock(str(log), detectors, b"\n", time.time()))
    first_s = time.process_time() - first_s
    with log.open("rb") as file:
        lines = sum(1 for _ in file)
    failures = 0
    start_s = time.process_time()
    with log.open("rb") as file:
        while data := file.read(_BLOCK_BYTES):
            data += file.readline()
            failures += len(matcher.scan(LogBlock(str(log), detectors, data, time.time(), is_live=False)))
    return {
        "lines": lines,
        "failures": failures,
        "first_s": first_s,
        "cpu_s": time.process_time() - start_s,
        "peak_mb": memory_mb(os.getpid(), "VmHWM"),
    }


def _further(number: int) -> tuple[str, FilterDefinition]:
    """Return the filter of a fictitious application."""
    name = f"application{number}"
    expressions = (
        rf"^\s*\S+ {name}(?:\[\d+\])?: login of <F-USER>.*</F-USER> from <ADDR> failed$",
        rf"^\s*\S+ {name}(?:\[\d+\])?: <ADDR> sent a bad token$",
    )
    return name, FilterDefinition(name=name, failregex=expressions)


if __name__ == "__main__":
    _copies = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    sys.stdout.buffer.write(msgspec.json.encode(_run(Path(sys.argv[1]), sys.argv[2], _copies)))
