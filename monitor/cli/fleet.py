"""`nodewarden fleet`: set a fleet up, see how it is and who differs, trust a node again."""

import sys
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.fleet_report import differences_between, print_status
from monitor.cli.target import Target
from monitor.control.fleet_requests import FleetStatus, FleetTrust
from monitor.model.errors import NodewardenError


class UnknownNodeError(NodewardenError):
    """The fleet has no such node, or says nothing of it."""


@click.group("fleet")
def fleet_group() -> None:
    """Share bans with other nodes: set it up, see how it is and which node differs."""


@fleet_group.command()
@show.json_option
@click.pass_obj
def status(target: Target, is_json: bool) -> None:
    """Show the fleet as this node sees it: its server, every node, and which of them differ from the others.

    LAG and REFUSED are of what this node read of another one; of itself, REFUSED is all that it refused. Nodes say how
    they are every 20 s. Exit code 1 while the server cannot be used.
    """
    result = _whole(target)
    if is_json:
        show.as_json(result)
    elif result["fleet"] is None:
        show.say("this node is in no fleet: `nodewarden fleet init` prints what one needs")
    else:
        print_status(result)
    fleet = result["fleet"]
    sys.exit(1 if fleet and (fleet["problem"] or not fleet["is_connected"]) else 0)


@fleet_group.command()
@click.argument("one")
@click.argument("other")
@show.json_option
@click.pass_obj
def diff(target: Target, one: str, other: str, is_json: bool) -> None:
    """Show in what two nodes differ, as far as they say; exit code 1 if they do."""
    found = {node["name"]: node for node in target.ask(FleetStatus(nodes=[one, other]))["nodes"]}
    for name in (one, other):
        if name not in found or not found[name]["hello"]:
            raise UnknownNodeError(f"the fleet has no node {name!r}, or it said nothing: see `nodewarden fleet status`")
    differences = differences_between(found[one], found[other])
    if is_json:
        show.as_json([{"subject": subject, "text": text} for subject, text in differences])
    elif differences:
        show.table(("IN", "DIFFERENCE"), differences)
    else:
        show.say(f"{one} and {other} do not differ in what they say of themselves")
    sys.exit(1 if differences else 0)


@fleet_group.command()
@click.argument("node")
@show.json_option
@click.pass_obj
def trust(target: Target, node: str, is_json: bool) -> None:
    """Enforce what a node bans again, after this node had stopped trusting it.

    Each node has its own opinion: give the command on all nodes that report it.
    """
    answer = target.ask(FleetTrust(node))
    if is_json:
        show.as_json(answer)
    else:
        show.say(answer["text"])


def _whole(target: Target) -> dict[str, Any]:
    """Return the fleet with all its nodes, page by page."""
    page: dict[str, Any] = target.ask(FleetStatus())
    nodes = list(page["nodes"])
    while page["after"]:
        page = target.ask(FleetStatus(after=page["after"]))
        nodes += page["nodes"]
    return {"fleet": page["fleet"], "nodes": nodes}


_names = click.option(
    "--nodes", default="", metavar="NAME,…", help="Names of the nodes, with commas between them. Default: this host."
)


@fleet_group.command()
@_names
@click.option("--name", "fleet", default="default", show_default=True, help="Name of the fleet.")
@click.option(
    "--url",
    default="rediss://redis.example.org:6379",
    show_default=True,
    help="The server's URL, as the nodes reach it.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write files into this new directory.")
@click.option("--admin/--no-admin", default=True, show_default=True, help="Make the administrator's user as well.")
def init(nodes: str, fleet: str, url: str, out: Path | None, admin: bool) -> None:
    """Print what a fleet needs: the server's settings and users with new passwords, and the settings of each node.

    Nothing is sent anywhere. With --out, files that only their owner may read are written instead: one directory for
    the server, one for each node, and the administrator's password.
    """
    from monitor.cli.fleet_init import files_of, write

    made = files_of(fleet, url, nodes, with_administrator=admin)
    if out is None:
        for name, text in made.items():
            show.say(f"# --- {name}")
            show.say_lines(text.rstrip("\n"))
            show.say()
        return
    write(out, made)
    for name in made:
        show.say(str(out / name))
