"""Compiles and loads a program in a child process that lives for a second, and holds the descriptors."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from monitor.ebpf.messages import MAX_MESSAGE_BYTES, KernelLacksError, LoadRequest, MapShape, Report
from monitor.model.errors import PermanentError, TemporaryError

_TIMEOUT_S = 20.0
_MAX_DESCRIPTORS = 32


class LoadedProgram:
    """The descriptors of a loaded program by name. Closing them unloads it, as does the end of the process."""

    def __init__(self, report: Report, descriptors: list[int]) -> None:
        """Take ownership of the descriptors."""
        names = [*report.functions, *(shape.name for shape in report.maps)]
        self._descriptors = dict(zip(names, descriptors, strict=True))
        self.functions = {name: self._descriptors[name] for name in report.functions}
        self.maps: dict[str, tuple[int, MapShape]] = {
            shape.name: (self._descriptors[shape.name], shape) for shape in report.maps
        }
        self.reasons = report.reasons
        self.attach_mode, self.fallback_reason = report.attach_mode, report.fallback_reason

    def close(self) -> None:
        """Unload."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(
    request: LoadRequest,
    *,
    timeout_s: float = _TIMEOUT_S,
    python: str = sys.executable,
    started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> LoadedProgram:
    """Compile and load; blocks the caller for half a second to a second.

    `started` is called with the child, so that another thread can kill it and thereby end this call.
    PermanentError if bcc or a privilege is missing, or if the program does not compile. KernelLacksError if the kernel
    lacks something, or if the verifier refuses the program. TemporaryError if the child exits or hangs without a reply.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [python, "-P", "-m", "monitor.ebpf.compiler", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        started(child)
        try:
            ours.settimeout(timeout_s)
            report, descriptors = _exchange(ours, request)
        except TimeoutError:
            raise TemporaryError(f"compiling {request.source} took longer than {timeout_s:g} s") from None
        finally:
            child.kill()
            _, said = child.communicate()
    if report is None:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise TemporaryError(f"compiling {request.source} ended without a reply{': ' + last if last else ''}")
    if report.error:
        raise (KernelLacksError if report.is_of_kernel else PermanentError)(report.error)
    return LoadedProgram(report, descriptors)


def _exchange(channel: socket.socket, request: LoadRequest) -> tuple[Report | None, list[int]]:
    try:
        channel.send(msgspec.json.encode(request))
        data, descriptors, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return None, []
    if not data:
        return None, []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the only way to say it
    return msgspec.json.decode(data, type=Report), descriptors
