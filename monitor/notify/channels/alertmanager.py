"""Alerts of Prometheus' Alertmanager (API v2).

An alert is identified by its labels, so labels hold what stays the same: a problem and its end have the same ones. It
ends at `endsAt`: with the ban, or with the problem. Alertmanager groups, silences and repeats; a digest therefore is an
alert for each ban that it names, and one for those that it only counts.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.notify.channel import Again, Refused
from monitor.notify.channels import wording
from monitor.notify.channels.http import Http, Request, headers_of, url_of
from monitor.notify.channels.reached import Reached
from monitor.notify.message import Item, Kind, Message, Urgency
from monitor.notify.registration import Place
from monitor.notify.sections.alertmanager import AlertmanagerSettings

_PATH = "/api/v2/alerts"
_MOMENT_S = 300.0
"""How long an alert is active about something that has no end: Alertmanager's own `resolve_timeout`."""
_LONGEST_LABEL = 256
_NAMES = {
    Kind.BAN: "NodewardenBan",
    Kind.PROBLEM: "NodewardenProblem",
    Kind.PROBLEM_OVER: "NodewardenProblem",
    Kind.FLOOD: "NodewardenFlood",
    Kind.OTHER: "NodewardenEvent",
    Kind.TEST: "NodewardenTest",
}
_SEVERITIES = {Urgency.INFO: "info", Urgency.WARNING: "warning", Urgency.CRITICAL: "critical"}

Alert = dict[str, Any]


class AlertmanagerChannel:
    """Raises alerts at all Alertmanagers of a cluster."""

    def __init__(self, name: str, section: AlertmanagerSettings, place: Place) -> None:  # noqa: ARG002
        self._section = section
        self._http = Http(section, section.proxy)
        self._reached = Reached()

    def send(self, message: Message) -> None:
        """Have each server take the alerts of a message; Again for those that are down, Refused if one does not."""
        section = self._section
        link = {"generatorURL": section.generator} if section.generator else {}
        body = msgspec.json.encode([alert | link for alert in alerts(message, section)])
        headers = headers_of(section)
        servers = section.urls or (url_of(section),)
        failures: list[Again] = []
        refusals: list[Refused] = []
        for server in self._reached.left(message, servers):
            try:
                self._http.post(Request(_endpoint(server), body, "application/json", headers))
            except Again as error:
                failures.append(error)
                continue
            except Refused as error:
                refusals.append(error)
            self._reached.add(server)
        if failures:
            pauses_s = [one.after_s for one in failures if one.after_s is not None]
            raise Again("; ".join(map(str, failures)), min(pauses_s, default=None))
        if refusals:
            raise Refused("; ".join(map(str, refusals)))

    def close(self) -> None:
        """End a post that is going on."""
        self._http.close()


def _endpoint(server: str) -> str:
    base = server.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def alerts(message: Message, section: AlertmanagerSettings) -> Iterator[Alert]:
    """Yield the alerts of a message. Pure."""
    message = wording.shown(message)
    extra = dict(one.split("=", 1) for one in section.labels)
    common = {"alertname": _NAMES[message.kind], "host": message.host} | extra
    if message.kind in (Kind.PROBLEM, Kind.PROBLEM_OVER):
        yield from _of_problem(message, common, section.longest_s)
        return
    severity = {"severity": _SEVERITIES[message.urgency]}
    for item in message.items:
        labels = common | severity | _labels_of(item, message)
        annotations = {"summary": message.title, "description": item.text, "reason": item.reason, "why": item.why}
        until_s = item.until_s if item.until_s > item.time_s else item.time_s + _MOMENT_S
        yield _alert(labels, annotations, item.time_s, min(until_s, item.time_s + section.longest_s))
    if more := list(wording.remainder(message)):
        labels = common | severity | {"alertname": f"{common['alertname']}s", "group": message.group}
        annotations = {"summary": message.title, "description": "; ".join(more)}
        yield _alert(labels, annotations, message.since_s, message.time_s + min(_MOMENT_S, section.longest_s))


def _labels_of(item: Item, message: Message) -> dict[str, str]:
    return {
        "group": message.group,
        "network": item.network,
        "detector": item.detector,
        "direction": item.set,
        "evidence": item.strength,
    }


def _of_problem(message: Message, common: dict[str, str], longest_s: float) -> Iterator[Alert]:
    """Yield an alert for each problem; at its end in each severity, since none is known of its start."""
    is_over = message.kind is Kind.PROBLEM_OVER
    for item in message.items:
        text = item.reason or item.text
        labels = common | {"problem": _identity(text)}
        annotations = {"summary": message.title, "description": text, "why": item.why}
        for severity in _SEVERITIES.values() if is_over else [_SEVERITIES[message.urgency]]:
            start_s = message.since_s if is_over else item.time_s
            end_s = item.time_s if is_over else item.time_s + longest_s
            yield _alert(labels | {"severity": severity}, annotations, min(start_s, end_s), end_s)


def _identity(text: str) -> str:
    """Return a label for a text: itself, or its start with a digest of the rest."""
    if len(text) <= _LONGEST_LABEL:
        return text
    return f"{text[: _LONGEST_LABEL - 17]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _alert(labels: dict[str, str], annotations: dict[str, str], start_s: float, end_s: float) -> Alert:
    return {
        "labels": {name: wording.cut(value, _LONGEST_LABEL) for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _time(start_s),
        "endsAt": _time(end_s),
    }


def _time(time_s: float) -> str:
    text = wording.utc(time_s)
    return "9999-12-31T00:00:00Z" if text == "never" else text
