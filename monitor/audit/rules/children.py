"""Runs a program that prints what the kernel holds, with bounds on its time, memory and output.

The output goes to an anonymous file in memory: a pipe would need a reader for as long as the program runs, and a limit
of the kernel on the file's size (RLIMIT_FSIZE) ends a program that prints without end.
"""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from monitor.model.errors import NodewardenError

LIMIT_BYTES = 64 * 2**20
MEMORY_BYTES = 512 * 2**20
TIMEOUT_S = 20.0
_COMPLAINT_BYTES = 4096
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class ChildFailedError(NodewardenError):
    """A program did not do what was asked; the text says why."""


def run_bounded(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    limit_bytes: int = LIMIT_BYTES,
    memory_bytes: int = MEMORY_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Run a program and return what it printed.

    ChildFailedError if it is missing, fails, is killed, or exceeds a bound.
    """
    with _memory_file(stdin) as given, _memory_file() as output, _memory_file() as complaints:
        try:
            child = subprocess.Popen(  # noqa: S603 - the callers name the program
                list(arguments), stdin=given, stdout=output, stderr=complaints, env=_ENVIRONMENT
            )
        except FileNotFoundError:
            raise ChildFailedError(f"{arguments[0]} is not installed") from None
        except OSError as error:
            raise ChildFailedError(f"{arguments[0]} cannot be run: {error}") from error
        with child:
            _limit(child.pid, limit_bytes, memory_bytes)
            try:
                code = child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise ChildFailedError(f"{arguments[0]} took more than {timeout_s:g} s") from None
            finally:
                child.kill()
        if code:
            complaint = os.pread(complaints, _COMPLAINT_BYTES, 0)
            raise ChildFailedError(f"{arguments[0]} {_reason(code, limit_bytes)}{_first_line(complaint)}")
        return os.pread(output, limit_bytes, 0)


@contextmanager
def _memory_file(content: bytes = b"") -> Iterator[int]:
    descriptor = os.memfd_create("nodewarden-audit", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _limit(pid: int, limit_bytes: int, memory_bytes: int) -> None:
    limits = (resource.RLIMIT_FSIZE, limit_bytes), (resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)
    for kind, most in limits:
        with suppress(OSError, ValueError):  # it may have ended, or have a lower limit
            resource.prlimit(pid, kind, (most, most))


def _reason(code: int, limit_bytes: int) -> str:
    if code > 0:
        return f"failed with exit code {code}"
    if -code == signal.SIGXFSZ:
        return f"printed more than {limit_bytes >> 20} MiB"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _first_line(complaint: bytes) -> str:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[0][:200]}" if lines else ""
