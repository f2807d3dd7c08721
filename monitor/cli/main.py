"""The command `nodewarden`: its options and subcommands."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from monitor import __version__
from monitor.cli import entry
from monitor.cli.imported import Imported
from monitor.cli.target import Target
from monitor.settings.places import DEFAULT_PATH

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
    entry.serve(path, watch=watch)


def invoke(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code. NodewardenError if it failed."""
    if entry.COMPLETE in os.environ:  # the shell asks for completions: prints them and exits
        cli.main(prog_name="nodewarden", complete_var=entry.COMPLETE)
    try:  # not `cli.main`, which takes a reader that is gone for a failure
        with cli.make_context("nodewarden", list(arguments)) as context:
            cli.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return 0
