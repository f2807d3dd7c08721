"""Commands for the allowlist: networks that are never banned."""

import sys
from typing import Any

import click

from monitor.cli import completion, show
from monitor.cli.bans import answer
from monitor.cli.target import Target
from monitor.cli.values import NETWORK
from monitor.control.protocol import AllowAdd, AllowList, AllowRemove, AllowTest


@click.group()
def allow() -> None:
    """Show and change the allowlist: networks that are never banned."""


@allow.command("list")
@show.json_option
@click.pass_obj
def list_entries(target: Target, is_json: bool) -> None:
    """List the allowlisted networks, each with the reason."""
    entries: list[dict[str, Any]] = target.ask(AllowList())
    if is_json:
        show.as_json(entries)
    else:
        show.table(("NETWORK", "WHY"), [(entry["network"], entry["reason"]) for entry in entries])


@allow.command()
@click.argument("networks", nargs=-1, required=True, type=NETWORK, metavar="ADDRESS|NETWORK...")
@click.option("--reason", default="", help="Reason, shown by `list` and `why`.")
@show.json_option
@click.pass_obj
def add(target: Target, networks: tuple[str, ...], reason: str, is_json: bool) -> None:
    """Add networks, across restarts. Bans inside them end at once; the answer names them."""
    answer(target.ask(AllowAdd(list(networks), reason)), is_json)


@allow.command()
@click.argument(
    "networks", nargs=-1, required=True, type=NETWORK, metavar="ADDRESS|NETWORK...", shell_complete=completion.allowed
)
@show.json_option
@click.pass_obj
def remove(target: Target, networks: tuple[str, ...], is_json: bool) -> None:
    """Remove networks that `allow add` added."""
    answer(target.ask(AllowRemove(list(networks))), is_json)


@allow.command()
@click.argument("network", type=NETWORK, metavar="ADDRESS|NETWORK")
@show.json_option
@click.pass_obj
def test(target: Target, network: str, is_json: bool) -> None:
    """Report whether a network could be banned; exit code 1 if it could."""
    entry = target.ask(AllowTest(network))
    if is_json:
        show.as_json(entry)
    elif entry:
        show.say(f"{network} is never banned: {entry['network']} is on the allowlist ({entry['reason']})")
    else:
        show.say(f"{network} could be banned")
    sys.exit(0 if entry else 1)
