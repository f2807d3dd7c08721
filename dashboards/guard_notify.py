"""Guard health: messages to people."""

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards import queries as q
from dashboards.board import Row, row
from dashboards.panels import About, lines
from dashboards.queries import Query


def notifications() -> Row:
    """Return the row."""
    return row("Notifications (empty without a channel)", 7, _messages(), _queue(), is_folded=True)


def _messages() -> Panel:
    return lines(
        "Messages to people",
        About(
            "Messages within five minutes, by channel and outcome: sent, refused, or lost because the queue was full.",
            "A channel refuses or loses messages: nobody is notified there of bans and problems.",
            "Run `nodewarden notify status` and `nodewarden notify test NAME` on the node.",
        ),
        "short",
        Query(
            q.add(q.over("increase", "nodewarden_notify_messages_total", window="5m"), by="channel, outcome"),
            "{{channel}} {{outcome}}",
        ),
    )


def _queue() -> Panel:
    return lines(
        "Messages that wait",
        About(
            "Messages that wait for a channel, on the node with most.",
            "The channel is slow or down; at `notify.queue` the oldest are dropped.",
            "Run `nodewarden notify status` on the node; see the alert NodewardenNotifyFault.",
        ),
        "short",
        Query(q.most(q.select("nodewarden_notify_queue"), by="channel"), "{{channel}}"),
    )
