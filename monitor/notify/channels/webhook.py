"""Webhooks: each message is one POST."""

import msgspec

from monitor.notify.channels import wording
from monitor.notify.channels.http import Http, Request, headers_of, url_of
from monitor.notify.message import Message
from monitor.notify.registration import Place
from monitor.notify.sections.webhook import WebhookSettings


class WebhookChannel:
    """Posts messages to one URL."""

    def __init__(self, name: str, section: WebhookSettings, place: Place) -> None:  # noqa: ARG002 - as of all channels
        """Load the template; ValueError if it cannot be used."""
        self._section = section
        self._http = Http(section, section.proxy)
        self._template = None
        if section.template:
            from monitor.notify.channels.templates import load

            pairs = (one.partition("=") for one in section.variables)
            self._template = load(section.template, {key: value for key, _, value in pairs})

    def send(self, message: Message) -> None:
        """Post one message; Refused or Again if the server does not take it."""
        section = self._section
        if self._template is None:
            body, content_type = msgspec.json.encode(wording.bounded(message)), "application/json"
        else:
            body, content_type = self._template.render(message), self._template.content_type
        self._http.post(Request(url_of(section), body, content_type, headers_of(section)))

    def close(self) -> None:
        """End a post that is going on."""
        self._http.close()
