"""The command `nodewarden`: its options, its exit codes, its subcommands.

Exit codes: 0 done, 1 refused or failed, 2 configuration or usage, 3 the daemon cannot be reached,
4 another daemon owns the network namespace.
"""

import contextlib
import difflib
import errno
import gc
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from monitor import __version__
from monitor.cli import show
from monitor.cli.imported import Imported
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, UnsendableRequest
from monitor.model.errors import AlreadyOwned, ConfigError, NodewardenError, TemporaryError, explain
from monitor.settings.places import DEFAULT_PATH

EXIT_FAILED, EXIT_CONFIG, EXIT_UNREACHABLE, EXIT_OWNED = 1, 2, 3, 4
_CODES: tuple[tuple[type[NodewardenError], int], ...] = (
    (ConfigError, EXIT_CONFIG),
    (UnsendableRequest, EXIT_CONFIG),
    (DaemonUnreachable, EXIT_UNREACHABLE),
    (AlreadyOwned, EXIT_OWNED),
)
_COMPLETE = "_NODEWARDEN_COMPLETE"
"""The variable in which the shell says what it wants to complete."""


_FROM = {
    "allow": ("allow", "allow"),
    "apply": ("apply", "apply"),
    "audit": ("audit", "audit_group"),
    "ban": ("bans", "ban"),
    "compare": ("compare", "compare"),
    "config": ("config", "config_group"),
    "doctor": ("doctor", "doctor"),
    "drops": ("drops", "drops"),
    "events": ("events", "events"),
    "export": ("exchange", "export_bans"),
    "fail2ban": ("fail2ban", "fail2ban_group"),
    "fleet": ("fleet", "fleet_group"),
    "filter": ("filter", "filter_group"),
    "flush": ("bans", "flush"),
    "history": ("history", "history"),
    "import": ("exchange", "import_bans"),
    "label": ("label", "label_group"),
    "list": ("bans", "list_bans"),
    "lists": ("lists", "lists_group"),
    "notify": ("notify", "notify_group"),
    "record": ("record", "record"),
    "reload": ("reload", "reload"),
    "replay": ("replay", "replay"),
    "report": ("history", "report"),
    "status": ("status", "status"),
    "top": ("top", "top"),
    "tune": ("tune", "tune"),
    "unban": ("bans", "unban"),
    "why": ("why", "why"),
}
"""By command, its module in this package and its name there: imported when used, since some need much of the daemon."""


class Commands(click.Group):
    """A group that names similar commands for one that it does not know, which click does in newer versions only."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.commands = Imported(_FROM)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            similar = difflib.get_close_matches(name, self.list_commands(ctx), n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nodewarden")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, readable=False),
    envvar="NODEWARDEN_SOCKET",
    help="The control socket of the daemon; default: as configured.",
)
@click.pass_context
def cli(context: click.Context, socket_path: Path | None) -> None:
    """Monitor the traffic of a node and ban offenders in nftables."""
    context.obj = Target(socket_path)


@cli.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)
@click.option("--watch", is_flag=True, help="Reload when configuration files change.")
def run(path: Path, watch: bool) -> None:
    """Run the daemon in the foreground."""
    try:
        gc.disable()  # of hundreds of modules nothing is garbage: looking for it is a tenth of the start
        from monitor.daemon.life import loop
        from monitor.daemon.life.service import serve

        gc.enable()
        loop.run(serve(path, watch=watch))
    except (OSError, MemoryError) as error:  # exit 1: systemd starts it again
        raise TemporaryError(f"the system lacks what the daemon needs: {explain(error)}") from error
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise TemporaryError(f"the system lacks what the daemon needs: {error}") from error


def main() -> None:
    """Run the command line; every expected error is one clear message and an exit code, none is a traceback."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show it all still gets the message
    try:
        code = _run()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except OSError as error:
        code = _output_failed(error)
    sys.exit(code)


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


def _run() -> int:
    """Run the command; return its exit code."""
    if _COMPLETE in os.environ:  # the shell asks for completions: prints them and exits
        cli.main(prog_name="nodewarden", complete_var=_COMPLETE)
    try:  # not `cli.main`, which takes a reader that is gone for a failure
        with cli.make_context("nodewarden", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        show.say("nodewarden: interrupted", err=True)
        return EXIT_FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_FAILED if end.code else 0
    except NodewardenError as error:
        show.say_lines(f"nodewarden: {error}", err=True)
        return next((code for kind, code in _CODES if isinstance(error, kind)), EXIT_FAILED)
    return 0


def _output_failed(error: OSError) -> int:
    """Return the exit code where output cannot be written: a reader that has read enough (`| head`) is no failure."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2) if error.errno == errno.EPIPE else (1,):  # what is still buffered is written at exit
        with contextlib.suppress(OSError):
            os.dup2(silent, descriptor)
    if error.errno == errno.EPIPE:
        return 0
    with contextlib.suppress(OSError):
        show.say(f"nodewarden: {explain(error)}", err=True)
    return EXIT_FAILED
