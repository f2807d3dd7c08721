"""Where the program `nodewarden` starts: streams, exit codes, and `run` without what only other commands need.

Exit codes: 0 done, 1 refused or failed, 2 configuration or usage, 3 the daemon cannot be reached,
4 another daemon owns the network namespace.
"""

import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor.cli import slim
from monitor.model.errors import AlreadyOwned, ConfigError, NodewardenError, TemporaryError, explain
from monitor.settings.places import DEFAULT_PATH

EXIT_FAILED, EXIT_CONFIG, EXIT_UNREACHABLE, EXIT_OWNED = 1, 2, 3, 4
COMPLETE = "_NODEWARDEN_COMPLETE"
"""The variable in which the shell says what it wants to complete."""


def main() -> None:
    """Run the command line; every expected error is one clear message and an exit code, none is a traceback."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show it all still gets the message
    try:
        code = _run(sys.argv[1:])
    except OSError as error:
        code = _output_failed(error)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError as error:
        code = code or _output_failed(error)
        _silence(2)
    sys.exit(code)


def plain_run(arguments: Sequence[str]) -> tuple[Path, bool] | None:
    """Return the options of `run`, the main file and whether it is watched, if they are what units and images pass.

    None: something else, which click reads. It and what it imports would take 2 MB for as long as the daemon runs.
    """
    match list(arguments):
        case ["run"]:
            return DEFAULT_PATH, False
        case ["run", "--config", path, *rest] if path and not path.startswith("-") and rest in ([], ["--watch"]):
            return Path(path), bool(rest)
    return None


def serve(path: Path, *, watch: bool) -> None:
    """Run the daemon in the foreground; TemporaryError if the system lacks what it needs."""
    try:
        gc.disable()  # of hundreds of modules nothing is garbage: looking for it is a tenth of the start
        slim.load()
        from monitor.daemon.life import loop
        from monitor.daemon.life.service import serve as until_stopped

        gc.enable()
        loop.run(until_stopped(path, watch=watch))
    except (OSError, MemoryError) as error:  # exit 1: systemd starts it again
        raise TemporaryError(f"the system lacks what the daemon needs: {explain(error)}") from error
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise TemporaryError(f"the system lacks what the daemon needs: {error}") from error


def _open_streams() -> None:
    """Open what was closed (`>&-`) as nothing: else the next file that is opened is taken for standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    try:
        if COMPLETE not in os.environ and (daemon := plain_run(arguments)):
            path, watch = daemon
            serve(path, watch=watch)
            return 0
        from monitor.cli import main as commands

        return commands.invoke(arguments)
    except KeyboardInterrupt:
        _say("nodewarden: interrupted")
        return EXIT_FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_FAILED if end.code else 0
    except NodewardenError as error:
        with contextlib.suppress(OSError):  # what happened matters more: systemd tries 1 again, and 2 not
            _say(f"nodewarden: {error}")
        return _code(error)


def _say(text: str) -> None:
    from monitor.cli import show

    show.say_lines(text, err=True)


def _code(error: NodewardenError) -> int:
    from monitor.control.client import DaemonUnreachable, UnsendableRequest

    codes: tuple[tuple[type[NodewardenError], int], ...] = (
        (ConfigError, EXIT_CONFIG),
        (UnsendableRequest, EXIT_CONFIG),
        (DaemonUnreachable, EXIT_UNREACHABLE),
        (AlreadyOwned, EXIT_OWNED),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), EXIT_FAILED)


def _output_failed(error: OSError) -> int:
    """Return the exit code where output cannot be written: a reader that has read enough (`| head`) is no failure."""
    _silence(1)
    if error.errno == errno.EPIPE:
        _silence(2)
        return 0
    with contextlib.suppress(OSError):
        _say(f"nodewarden: {explain(error)}")
    return EXIT_FAILED


def _silence(descriptor: int) -> None:
    """Have what is still buffered go nowhere: written at exit, it would fail and change the exit code."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
