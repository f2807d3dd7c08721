"""Logs that grow at a steady pace."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from bench.log_lines import attack_lines


def grow(
    logs: Sequence[Path], lines_per_s: int, used_s: Callable[[], float], *, warm_s: float, measure_s: float
) -> tuple[float, int]:
    """Let logs grow, a line each in turn; return the percentage of a core that was used, and how many were written."""
    turns = int((warm_s + measure_s) * lines_per_s / len(logs))
    lines = attack_lines(turns * len(logs), time.time())
    with ExitStack() as stack:
        files = [stack.enter_context(log.open("a", buffering=1)) for log in logs]
        began_s, before_s, measured_from_s = time.monotonic(), 0.0, 0.0
        for turn in range(turns):
            if not measured_from_s and time.monotonic() - began_s >= warm_s:
                measured_from_s, before_s = time.monotonic(), used_s()
            for file, line in zip(files, islice(lines, len(files)), strict=True):
                file.write(line)
            time.sleep(max(0.0, began_s + (turn + 1) * len(files) / lines_per_s - time.monotonic()))
        return 100 * (used_s() - before_s) / (time.monotonic() - measured_from_s), turns * len(logs)
