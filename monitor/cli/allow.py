"""Commands for the allowlist: networks that are never banned."""

import sys
from typing import Any

import click

from monitor.cli import completion, show
from monitor.cli.bans import answer
from monitor.cli.fleet_allow import FLEET_REASON, Administrator, fleet_options
from monitor.cli.target import Target
from monitor.cli.values import NETWORK
from monitor.control.protocol import AllowAdd, AllowList, AllowRemove, AllowTest


@click.group()
def allow() -> None:
    """Show and change the allowlist: networks that are never banned."""


@allow.command("list")
@click.option("--fleet", is_flag=True, help="Only those of the fleet's allowlist, as this node has it.")
@show.json_option
@click.pass_obj
def list_entries(target: Target, fleet: bool, is_json: bool) -> None:
    """List the allowlisted networks, each with the reason."""
    entries: list[dict[str, Any]] = target.ask(AllowList())
    if fleet:
        entries = [entry for entry in entries if entry["reason"].startswith(FLEET_REASON)]
    if is_json:
        show.as_json(entries)
    else:
        show.table(("NETWORK", "WHY"), [(entry["network"], entry["reason"]) for entry in entries])


@allow.command()
@click.argument("networks", nargs=-1, required=True, type=NETWORK, metavar="ADDRESS|NETWORK...")
@click.option("--reason", default="", help="Reason, shown by `list` and `why`.")
@fleet_options
@show.json_option
@click.pass_obj
def add(target: Target, networks: tuple[str, ...], reason: str, fleet: Administrator | None, is_json: bool) -> None:
    """Add networks, across restarts. Bans inside them end at once; the answer names them.

    With --fleet, they are added to the allowlist of all nodes. This takes the fleet's administrator, whose password is
    read from --admin-password-file or NODEWARDEN_FLEET_PASSWORD, or asked for.
    """
    if fleet:
        answer(fleet.add(networks, reason), is_json)
    else:
        answer(target.ask(AllowAdd(list(networks), reason)), is_json)


@allow.command()
@click.argument(
    "networks", nargs=-1, required=True, type=NETWORK, metavar="ADDRESS|NETWORK...", shell_complete=completion.allowed
)
@fleet_options
@show.json_option
@click.pass_obj
def remove(target: Target, networks: tuple[str, ...], fleet: Administrator | None, is_json: bool) -> None:
    """Remove networks that `allow add` added, with --fleet from the allowlist of all nodes."""
    if fleet:
        answer(fleet.remove(networks), is_json)
    else:
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
