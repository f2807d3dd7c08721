"""Runs nft, ip and their like with bounds: time, memory, output; they die with the process that started them."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import tempfile

PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_MEMORY_BYTES = 1 << 30
_MAX_OUTPUT_BYTES = 128 << 20
_MAX_ERROR_CHARS = 300
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class ProgramFailed(Exception):  # noqa: N818 - what happened
    """A program is missing, failed, or took too long; the text says which."""


def run(
    program: str, *arguments: str, stdin: bytes = b"", namespace: int | None = None, timeout_s: float = 20.0
) -> bytes:
    """Return what a program prints; `namespace` is a descriptor of the network namespace that it runs in.

    Raises ProgramFailed.
    """
    path = shutil.which(program, path=PATH)
    if path is None:
        raise ProgramFailed(f"{program} is not installed")

    def confine() -> None:
        die_with_parent()
        limit(resource.RLIMIT_AS, _MEMORY_BYTES)
        limit(resource.RLIMIT_FSIZE, _MAX_OUTPUT_BYTES + 1)  # what is printed lies on a disk
        if namespace is not None and _LIBC.setns(namespace, _CLONE_NEWNET):
            os._exit(126)

    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as problems:
        given.write(stdin)
        given.seek(0)
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs
                [path, *arguments],
                stdin=given,
                stdout=out,
                stderr=problems,
                timeout=timeout_s,
                check=False,
                preexec_fn=confine,
                env={"PATH": PATH, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{program} took more than {timeout_s:g} s") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise ProgramFailed(f"{program}: {error}") from None
        if out.seek(0, os.SEEK_END) > _MAX_OUTPUT_BYTES:
            raise ProgramFailed(f"{program} printed more than {_MAX_OUTPUT_BYTES >> 20} MB")
        if done.returncode:
            problems.seek(0)
            said = problems.read(4096).decode(errors="replace").strip().partition("\n")[0][:_MAX_ERROR_CHARS]
            raise ProgramFailed(said or f"{program} ended with {done.returncode}")
        out.seek(0)
        return out.read()


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
