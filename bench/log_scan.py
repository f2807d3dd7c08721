"""A process that matches a log file as the daemon does: run by the benchmarks `log_lines`.

`python -m bench.log_scan LOG FILTER [COPIES]` prints the lines, the failures found, the CPU seconds that reading and
matching took without the compiling before it, and the process's peak memory in MB. COPIES loads more filters beside
(see `bench.log_filters`).
"""

import resource
import sys
import time
from pathlib import Path

from monitor.filters.library import load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.logs import LogBlock

_BLOCK_BYTES = 256 * 1024


def _run(log: Path, reference: str) -> None:
    matcher = LogMatcher({"d": load_filter(reference)}, findtimes_s={"d": 86400.0})
    lines = failures = 0
    start_s = time.process_time()
    with log.open("rb") as file:
        while data := file.read(_BLOCK_BYTES):
            data += file.readline()
            lines += data.count(b"\n")
            failures += len(matcher.scan(LogBlock(str(log), ("d",), data, time.time(), is_live=False)))
    cpu_s = time.process_time() - start_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(lines, failures, cpu_s, peak_mb, matcher.stats["d"])


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2])
