"""What renewing block lists needs of the machine: what the node must not lose."""

from collections.abc import Mapping
from pathlib import Path

import click

from monitor.cli import show
from monitor.lists.never import NeverEntry
from monitor.lists.renewal import NodeView
from monitor.lists.urls import is_special
from monitor.model.addresses import Address
from monitor.model.errors import NodewardenError, TemporaryError, explain
from monitor.node.addresses import read_node
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.presets import preset_entries
from monitor.settings.schema import Settings

THIS_NODE, ALLOWED, INTERNAL = "this node, its gateways and resolvers", "on the allowlist", "internal"

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)


class ListsError(NodewardenError):
    """A command about lists cannot be carried out; the message says what to do."""


def node_view(settings: Settings) -> tuple[NodeView, str]:
    """Return what must not be banned as far as a child can know it, and what is unknown; empty if nothing is.

    The daemon knows more: sessions, the cluster, what was allowed by command. It looks again when it takes the copy.
    """
    entries = [NeverEntry(network, ALLOWED) for network in settings.bans.allowlist]
    entries += [NeverEntry(entry.network, ALLOWED) for entry in preset_entries(settings.bans.presets)]
    entries += [NeverEntry(network, INTERNAL) for network in settings.bans.internal.networks]
    notice = ""
    try:
        node = read_node()
    except TemporaryError as error:
        notice = f"{explain(error)}: the daemon alone keeps lists from banning them"
    else:
        entries += [NeverEntry(entry.network, THIS_NODE) for entry in node.entries]
        if settings.bans.internal.connected:
            entries += [NeverEntry(network, INTERNAL) for network in node.networks.inner]
    inner = [entry.network for entry in entries if entry.reason != ALLOWED]

    def is_inner(address: Address) -> bool:
        return is_special(address) or any(network.contains(address) for network in inner)

    return NodeView(tuple(entries), is_inner), notice


def known_lists(settings: Settings) -> str:
    """Write which lists there are, for a message about one that is none."""
    return f" (lists: {', '.join(settings.lists)})" if settings.lists else ""


def not_taken(reasons: Mapping[str, int]) -> str:
    """Write how many networks of a list are not taken, by reason, as the end of a sentence."""
    return f"; not taken: {show.counts(reasons)}" if reasons else ""
