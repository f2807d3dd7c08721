"""Commands that deliver messages. No shell, no text of a message among the arguments, an environment of its own.

The command leads a process group, which is killed as a whole when it ends or its time is over: what it leaves running
would hold the pipe, and outlive the notifier.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from typing import Any

import msgspec

from monitor.model.errors import explain
from monitor.model.printable import printable
from monitor.notify.channel import Again, Refused
from monitor.notify.channels import wording
from monitor.notify.message import Message
from monitor.notify.registration import Place
from monitor.notify.sections.exec import ExecSettings

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_MAX_SAID_BYTES = 4096
_LONGEST_SAID = 200
_CHUNK_BYTES = 65536
_POLL_S = 0.5


class ExecChannel:
    """Runs one command for each message."""

    def __init__(self, name: str, section: ExecSettings, place: Place) -> None:  # noqa: ARG002 - as of all channels
        self._section = section
        self._directory = place.directory
        self._closed = threading.Event()

    def send(self, message: Message) -> None:
        """Run the command; Again if it ends with 75 (EX_TEMPFAIL, sysexits.h), is killed or is late, else Refused."""
        if self._closed.is_set():
            raise Again("the notifier stops")
        content = msgspec.json.encode(wording.bounded(message)) + b"\n"
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's command
                self._section.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env=_ENVIRONMENT, cwd=self._directory, start_new_session=True, bufsize=0,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise Again(f"{self._section.command[0]} cannot be run: {explain(error)}") from None
        try:
            said = self._attend(process, content)
        finally:
            _kill(process)
            status = process.wait()
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        if status:
            how = f"was killed by signal {-status}" if status < 0 else f"ends with {status}"
            text = f"{self._section.command[0]} {how}{said}"
            raise Again(text) if status in (os.EX_TEMPFAIL, -signal.SIGTERM, -signal.SIGKILL) else Refused(text)

    def close(self) -> None:
        """Have a command that runs killed."""
        self._closed.set()

    def _attend(self, process: subprocess.Popen[bytes], content: bytes) -> str:
        """Write the message and read what the command says, until it ends; Again if its time is over."""
        until_s = time.monotonic() + self._section.timeout_s
        said = b""
        left = memoryview(content)
        stdin, stderr, ended = process.stdin, process.stderr, os.pidfd_open(process.pid)
        if stdin is None or stderr is None:  # as opened: never
            return ""
        selector = selectors.DefaultSelector()
        try:
            for pipe, event in ((stdin, selectors.EVENT_WRITE), (stderr, selectors.EVENT_READ)):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, event)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                ready = self._wait(selector, until_s)
                if stderr in ready and not (part := _read(stderr.fileno())):
                    selector.unregister(stderr)
                elif stderr in ready:
                    said = (said + part)[:_MAX_SAID_BYTES]
                if stdin in ready:
                    left = left[_write(stdin.fileno(), left) :]
                    if not left:
                        selector.unregister(stdin)
                        stdin.close()
                if ended in ready:
                    return _words(said + _read(stderr.fileno()))
        finally:
            selector.close()
            os.close(ended)

    def _wait(self, selector: selectors.BaseSelector, until_s: float) -> set[Any]:
        """Return what is ready; Again if the time is over."""
        if self._closed.is_set():
            raise Again("the notifier stops")
        if (left_s := until_s - time.monotonic()) <= 0:
            raise Again(f"{self._section.command[0]} took longer than {self._section.timeout_s:g} s")
        return {key.fileobj for key, _ in selector.select(min(left_s, _POLL_S))}


def _words(said: bytes) -> str:
    """Return what a command said on standard error, for the end of a sentence."""
    text = printable(" ".join(said[:_MAX_SAID_BYTES].decode("utf-8", "replace").split()))
    return f": {wording.cut(text, _LONGEST_SAID)}" if text else ""


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError:  # nothing is there now
        return b""


def _write(descriptor: int, content: memoryview) -> int:
    """Write a part; a command that reads nothing gets nothing more."""
    try:
        return os.write(descriptor, content[:_CHUNK_BYTES])
    except BlockingIOError:
        return 0
    except OSError:
        return len(content)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill all that is left of the group. It is named after the process, which is not waited for yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
