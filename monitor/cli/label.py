"""`nodewarden label`: what the operator knows of addresses, for `compare`, `tune` and `apply`."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.values import READ_NETWORK
from monitor.model.addresses import Network
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH

_config = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The main file, which names the state directory.",
)


class _Labels(click.Group):
    """A group whose default is to set a label: `label 192.0.2.7 good`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take what is no command for the network of `set`."""
        if args and args[0] not in self.commands:
            args = ["set", *args]
        return super().resolve_command(ctx, args)


@click.group("label", cls=_Labels)
def label_group() -> None:
    """Mark addresses as good or bad: `nodewarden label 192.0.2.7 good`.

    `compare`, `tune` and `apply` count a ban of a good one as a mistake, and one of a bad one as right. A label changes
    no ban: what must never be banned belongs on the allowlist.
    """


@label_group.command("set")
@click.argument("network", metavar="ADDRESS|NETWORK", type=READ_NETWORK)
@click.argument("opinion", type=click.Choice(["good", "bad"]), metavar="good|bad")
@click.option("--reason", default="", help="Reason, shown by `label list` and `compare`.")
@_config
def put(network: Network, opinion: str, reason: str, path: Path) -> None:
    """Mark an address or a network; the word `set` may be left out."""
    from monitor.daemon.tuning.label_file import LabelFile
    from monitor.daemon.tuning.labels import Label, Opinion

    kept = reason.encode(errors="backslashreplace").decode()  # an argument may be no UTF-8
    LabelFile(_directory(path)).put([Label(network, Opinion(opinion), kept, time.time())])
    show.say(f"{network} is labelled {opinion}")


@label_group.command("list")
@show.json_option
@_config
def list_labels(is_json: bool, path: Path) -> None:
    """List the labels, each with its reason."""
    from monitor.daemon.tuning.label_file import read_labels

    labels = sorted(read_labels(_directory(path)).by_network.values(), key=_in_order)
    if is_json:
        show.as_json_list(
            {"network": str(one.network), "label": one.opinion, "reason": one.reason, "since_s": one.since_s}
            for one in labels
        )
    elif not show.table(
        ("NETWORK", "LABEL", "SINCE", "REASON"),
        ((str(one.network), one.opinion.value, show.moment(one.since_s), one.reason) for one in labels),
    ):
        show.say("no labels")


@label_group.command("remove")
@click.argument("networks", metavar="ADDRESS|NETWORK...", type=READ_NETWORK, nargs=-1, required=True)
@_config
def remove(networks: tuple[Network, ...], path: Path) -> None:
    """Remove labels; exit code 1 if a network has none."""
    from monitor.daemon.tuning.label_file import LabelFile

    unknown = LabelFile(_directory(path)).remove(networks)
    for network in networks:
        show.say(f"{network} has no label" if network in unknown else f"{network}: label removed")
    sys.exit(1 if unknown else 0)


def _in_order(label: Any) -> tuple[int, Network]:
    return len(label.network.address), label.network


def _directory(path: Path) -> Path:
    return load(path).settings.state.directory
