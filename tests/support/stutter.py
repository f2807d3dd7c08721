"""A daemon that often stands still, as on a machine that is busy with something else.

A test that reads once what the daemon has yet to reach passes on a quiet machine and fails on a busy one. With
`NODEWARDEN_TEST_STUTTER=1` (`make stutter`) it fails at once.
"""

import os
import random
import signal
import subprocess
import threading
import time

_STANDS_S = (0.05, 0.6)
_RUNS_S = (0.03, 0.25)
WANTED = os.environ.get("NODEWARDEN_TEST_STUTTER") == "1"


def stutter(process: subprocess.Popen[str]) -> None:
    """Stop and continue a process, at random, until it ends."""
    threading.Thread(target=_until_it_ends, args=(process,), daemon=True).start()


def _until_it_ends(process: subprocess.Popen[str]) -> None:
    chance = random.Random(process.pid)
    time.sleep(0.5)  # it replaces itself by the daemon, through wrappers
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(*_STANDS_S))
        process.send_signal(signal.SIGCONT)
        time.sleep(chance.uniform(*_RUNS_S))
