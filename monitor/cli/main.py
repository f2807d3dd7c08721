"""The command `nodewarden`: its options, its exit codes, its subcommands.

Exit codes: 0 done, 1 refused or failed, 2 configuration or usage, 3 the daemon cannot be reached,
4 another daemon owns the network namespace.
"""

import sys
from pathlib import Path

import click

from monitor import __version__
from monitor.cli import show
from monitor.cli.allow import allow
from monitor.cli.bans import ban, flush, list_bans, unban
from monitor.cli.config import FAULTY, config_group
from monitor.cli.doctor import doctor
from monitor.cli.drops import drops
from monitor.cli.events import events
from monitor.cli.exchange import export_bans, import_bans
from monitor.cli.fail2ban import fail2ban_group
from monitor.cli.filter import filter_group
from monitor.cli.status import status, why
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable
from monitor.control.protocol import Reload
from monitor.model.errors import AlreadyOwned, ConfigError, NodewardenError, TemporaryError, explain
from monitor.settings.load import DEFAULT_PATH

EXIT_FAILED, EXIT_CONFIG, EXIT_UNREACHABLE, EXIT_OWNED = 1, FAULTY, 3, 4


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nodewarden")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
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
        from monitor.daemon.life import loop
        from monitor.daemon.life.service import serve

        loop.run(serve(path, watch=watch))
    except (OSError, MemoryError) as error:  # exit 1: systemd starts it again
        raise TemporaryError(f"the system lacks what the daemon needs: {explain(error)}") from error
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise TemporaryError(f"the system lacks what the daemon needs: {error}") from error


@cli.command()
@click.pass_obj
def reload(target: Target) -> None:
    """Reload the configuration of the daemon.

    It is checked as by `config check`. An invalid one is refused with exit code 2, and the one in force stays.
    """
    target.ask(Reload())
    show.say("reloaded")


for command in (
    *(ban, unban, list_bans, flush, status, doctor, why, events, allow, export_bans, import_bans, drops),
    *(config_group, filter_group, fail2ban_group),
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every expected error is one clear message and an exit code."""
    try:
        cli()
    except ConfigError as error:
        _die(error, EXIT_CONFIG)
    except DaemonUnreachable as error:
        _die(error, EXIT_UNREACHABLE)
    except AlreadyOwned as error:
        _die(error, EXIT_OWNED)
    except NodewardenError as error:
        _die(error, EXIT_FAILED)


def _die(error: Exception, code: int) -> None:
    show.say_lines(f"nodewarden: {error}", err=True)
    sys.exit(code)
