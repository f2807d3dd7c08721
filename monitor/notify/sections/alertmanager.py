"""The settings of Alertmanagers of Prometheus."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import duration
from monitor.config.shapes import Conflict
from monitor.config.word_kinds import matching
from monitor.notify.registration import Registration
from monitor.notify.sections.web import SERVER_URL, URL, WebSettings

_MAX_SERVERS = 8
LABEL = matching(
    "label, NAME=VALUE",
    '[a-z_][a-z0-9_]{0,63}=[^\\x00-\\x1f\\x7f"]{1,256}',
    "a label, written NAME=VALUE in lower case",
)


class AlertmanagerSettings(WebSettings, frozen=True, kw_only=True):
    """Bans and problems as alerts of an Alertmanager (API v2)."""

    urls: Annotated[
        tuple[Annotated[str, SERVER_URL], ...],
        Meta(
            description="The Alertmanagers, such as `http://127.0.0.1:9093`: all of a cluster, since "
            "each gets all alerts."
        ),
    ] = ()
    labels: Annotated[
        tuple[Annotated[str, LABEL], ...], Meta(description="Further labels of each alert, `NAME=VALUE`.")
    ] = ()
    generator: Annotated[
        str,
        URL,
        Meta(
            description="A page about this node, such as a dashboard: the link *Source* of each alert. Empty: there is "
            "none."
        ),
    ] = ""
    longest_s: Annotated[
        float,
        duration("1m", "28d"),
        Meta(
            description="How long an alert is active at most. An alert about a ban ends with the ban, one about a "
            "problem with the problem; one about something without an end after 5 min."
        ),
    ] = field(default=86400.0, name="longest")

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse no server, too many, and labels that are ours."""
        if not self.urls and not self.url and not self.url_file:
            yield Conflict(("urls",), "give the URL of at least one Alertmanager")
        if bool(self.urls) + bool(self.url) + bool(self.url_file) > 1:
            yield Conflict(("urls", "url", "url_file"), "give one of `urls`, `url` and `url_file`")
        if len(self.urls) > _MAX_SERVERS:
            yield Conflict(("urls",), f"at most {_MAX_SERVERS} servers")
        if self.key_file and not self.cert_file:
            yield Conflict(("key_file",), "a key without a certificate: set cert_file")
        for label in self.labels:
            if label.partition("=")[0] in OWN_LABELS:
                yield Conflict(("labels",), f"the label {label.partition('=')[0]} is set by the notifier")
        yield from self.proxy_conflicts()


OWN_LABELS = ("alertname", "detector", "direction", "evidence", "group", "host", "network", "problem", "severity")

CHANNEL = Registration(
    kind="alertmanager",
    settings=AlertmanagerSettings,
    summary="Raises alerts at Alertmanagers of Prometheus, which end with the ban or the problem.",
    implementation="monitor.notify.channels.alertmanager:AlertmanagerChannel",
    order=30,
)
