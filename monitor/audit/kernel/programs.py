"""Runs nft, ip and their like with bounds: time, memory, output; they die with the process that started them.

The output goes to an anonymous file in memory: a pipe would need a reader for as long as the program runs, and a limit
of the kernel on the file's size (RLIMIT_FSIZE) ends a program that prints without end.
"""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
TIMEOUT_S = 20.0
OUTPUT_BYTES = 128 << 20
MEMORY_BYTES = 1 << 30
_COMPLAINT_BYTES = 4096
_COMPLAINT_CHARS = 300
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class ProgramFailed(Exception):  # noqa: N818 - what happened
    """A program is missing, failed, or exceeded a bound; the text says which."""


def run(
    program: str,
    *arguments: str,
    stdin: bytes = b"",
    namespace: int | None = None,
    timeout_s: float = TIMEOUT_S,
    limit_bytes: int = OUTPUT_BYTES,
    memory_bytes: int = MEMORY_BYTES,
) -> bytes:
    """Return what a program prints; `namespace` is a descriptor of the network namespace that it runs in.

    ProgramFailed if it is missing, fails, is killed, or exceeds a bound.
    """
    path = shutil.which(program, path=PATH)
    if path is None:
        raise ProgramFailed(f"{program} is not installed")
    with _memory_file(stdin) as given, _memory_file() as output, _memory_file() as complaints:
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs
                [path, *arguments],
                stdin=given,
                stdout=output,
                stderr=complaints,
                timeout=timeout_s,
                check=False,
                preexec_fn=_confine(namespace, limit_bytes, memory_bytes),
                env={"PATH": PATH, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{program} took more than {timeout_s:g} s") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise ProgramFailed(f"{program} cannot be run: {error}") from None
        if done.returncode:
            said = _first_line(os.pread(complaints, _COMPLAINT_BYTES, 0))
            raise ProgramFailed(f"{program} {_reason(done.returncode, limit_bytes)}{said}")
        return os.pread(output, limit_bytes, 0)


def _confine(namespace: int | None, limit_bytes: int, memory_bytes: int) -> Callable[[], None]:
    def confine() -> None:
        die_with_parent()
        limit(resource.RLIMIT_AS, memory_bytes)
        limit(resource.RLIMIT_FSIZE, limit_bytes)
        limit(resource.RLIMIT_CORE, 0)
        if namespace is not None and _LIBC.setns(namespace, _CLONE_NEWNET):
            os._exit(126)

    return confine


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


def _reason(code: int, limit_bytes: int) -> str:
    if code > 0:
        return f"failed with exit code {code}"
    if -code == signal.SIGXFSZ:
        return f"printed more than {limit_bytes >> 10} KiB"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _first_line(complaint: bytes) -> str:
    line = complaint.decode("utf-8", "replace").strip().partition("\n")[0]
    return f": {line[:_COMPLAINT_CHARS]}" if line else ""


def limit(kind: int, most: int) -> None:
    """Limit a resource of this process, to less if it has less already."""
    _, hard = resource.getrlimit(kind)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def unshare_network() -> None:
    """Move this process to a new network namespace; OSError if it may not."""
    if _LIBC.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter_network(descriptor: int) -> None:
    """Move this process to a network namespace; OSError if it may not."""
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
