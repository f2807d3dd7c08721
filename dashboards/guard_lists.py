"""Guard health: block lists from elsewhere."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, lines
from dashboards.queries import Query


def block_lists() -> Row:
    """Return the row."""
    return row("Block lists (empty without any)", 7, _hits(), _entries(), _age(), is_folded=True)


def _hits() -> Panel:
    return lines(
        "Packets of listed networks",
        About(
            "Packets from or to networks of a block list, by list; with `mode: observe` they are only counted.",
            "A listed network is active. A sudden rise on a list in force may be a list that names your own users.",
            "Run `nodewarden why ADDRESS`; `nodewarden allow add` lets an address pass whatever lists say.",
        ),
        "pps",
        Query(q.per_second("nodewarden_list_hits_total", by="list"), "{{list}}"),
    )


def _entries() -> Panel:
    return lines(
        "Networks of block lists",
        About(
            "Networks that the kernel has of a block list, on the node with most.",
            "The list was updated. At 0 it is missing, expired, or refused: nothing of it is in force.",
            "Run `nodewarden lists status` on the node; see the alert NodewardenListFault.",
        ),
        "short",
        Query(q.most(q.select("nodewarden_list_entries"), by="list"), "{{list}}"),
    )


def _age() -> Panel:
    return lines(
        "Age of block lists",
        About(
            "Time since the source of a block list had the content that is in use, on the node where that is longest.",
            "Beyond `every` the list cannot be renewed; when its copy expires, it is no longer in force.",
            "Run `nodewarden lists status` and `nodewarden lists test NAME` on the node.",
        ),
        "s",
        Query(q.most(q.select("nodewarden_list_age_seconds"), by="list"), "{{list}}"),
    )
