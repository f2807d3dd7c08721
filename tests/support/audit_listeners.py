"""Listens, in processes with the given names, until it is stopped: `python -m tests.support.audit_listeners JSON`.

JSON is a list of name, protocol, address and port. Prints `ready` once for each process.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from itertools import groupby
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def main() -> None:
    """Bind all sockets, each in the process of its name, and wait."""
    wanted = sorted(json.loads(sys.argv[1]))
    for name, group in groupby(wanted, key=lambda one: one[0]):
        sockets = [_bound(*rest) for _, *rest in group]
        if os.fork() == 0:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            Path("/proc/self/comm").write_text(name)
            os.write(1, b"ready\n")
            signal.pause()
        for one in sockets:
            one.close()
    os.write(1, b"ready\n")  # in one piece: all processes write here
    signal.pause()


def _bound(protocol: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind((address, port))
    if protocol == "tcp":
        made.listen()
    return made


if __name__ == "__main__":
    main()
