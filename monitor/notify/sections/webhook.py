"""The settings of webhooks: messages posted to an HTTP server."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import ValueKind
from monitor.config.shapes import Conflict
from monitor.config.types import quote
from monitor.config.word_kinds import matching
from monitor.notify.registration import Registration
from monitor.notify.sections.web import WebSettings

BUILT_IN = ("discord", "mattermost", "ntfy", "slack", "teams")
"""The names of the templates in `monitor/notify/channels/templates`."""
SUFFIXES = (".json.j2", ".txt.j2", ".html.j2")
"""What the name of a template's file ends with: it says how values are escaped, and the type of the content."""
_LONGEST_PATH = 4095


def _read_template(value: str) -> str:
    if not value or value in BUILT_IN:
        return value
    if (
        value.startswith("/")
        and value.isprintable()
        and len(value.encode()) <= _LONGEST_PATH
        and value.endswith(SUFFIXES)
    ):
        return value
    raise ValueError(
        f"{quote(value)} is no template: expected {', '.join(BUILT_IN)}, or the absolute path of a file "
        f"that ends with {', '.join(SUFFIXES)}"
    )


TEMPLATE: ValueKind[str] = ValueKind(
    "name or path of a template, or empty",
    _read_template,
    str,
    {"type": "string", "pattern": rf"^({'|'.join(BUILT_IN)}|/.*\.(json|txt|html)\.j2)?$"},
)
VARIABLE = matching(
    "NAME=VALUE", "[a-z][a-z0-9_]{0,31}=[^\\x00-\\x1f\\x7f]{0,1000}", "a variable, written NAME=VALUE in lower case"
)


class WebhookSettings(WebSettings, frozen=True, kw_only=True):
    """Messages posted to an HTTP server."""

    template: Annotated[
        str,
        TEMPLATE,
        Meta(
            description="What is posted. Empty: the message as a JSON object (docs/channels.md). `slack`, `discord`, "
            "`teams`, `ntfy`, `mattermost`: what these services expect. Or the path of a template of your own, whose "
            "name ends with `.json.j2`, `.txt.j2` or `.html.j2`."
        ),
    ] = ""
    variables: Annotated[
        tuple[Annotated[str, VARIABLE], ...],
        Meta(description="Values for the template, `NAME=VALUE`. The template `ntfy` needs `topic=…`."),
    ] = ()

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a template without the values that it needs."""
        yield from super().conflicts()
        names = {one.partition("=")[0] for one in self.variables}
        if self.template == "ntfy" and "topic" not in names:
            yield Conflict(("variables", "template"), "the template ntfy needs a variable: topic=NAME")


def _findings(section: WebhookSettings) -> Iterator[tuple[str, str]]:
    if section.template.startswith("/") and not Path(section.template).is_file():
        yield "template", f"{section.template} is no file"


CHANNEL = Registration(
    kind="webhook",
    settings=WebhookSettings,
    summary="Posts messages to HTTP servers: as JSON, or by a template for Slack, Discord, Teams, ntfy, Mattermost.",
    implementation="monitor.notify.channels.webhook:WebhookChannel",
    order=10,
    findings=_findings,
)
