"""Alerts for Alertmanager: what identifies them, when they end, and who gets them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.notify.channel import Again, Refused
from monitor.notify.channels.alertmanager import AlertmanagerChannel, alerts
from monitor.notify.message import Kind, Urgency
from monitor.notify.sections.alertmanager import AlertmanagerSettings
from tests.support.hook_server import HookServer
from tests.support.list_server import empty
from tests.support.messages import HOSTILE, NOW_S, hostile, item, message, place

SECTION = AlertmanagerSettings(urls=("http://127.0.0.1:9093",), labels=("team=blue",))


def made(*arguments: Any, **changes: Any) -> list[dict[str, Any]]:
    """Return the alerts of a message."""
    return list(alerts(message(*arguments, **changes), SECTION))


def test_an_alert_ends_with_the_ban() -> None:
    """It has the ban's network and detector as labels, and is active no longer than a day."""
    (alert,) = made()
    assert alert["labels"] == {"alertname": "NodewardenBan", "host": "node1", "team": "blue", "severity": "info",
                               "group": "ban sshd ban", "network": "192.0.2.7", "detector": "sshd", "direction": "ban",
                               "evidence": "proven"}  # fmt: skip
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-09-21T14:13:20Z", "2026-09-21T15:13:20Z")
    (forever,) = made(item(until_s=float("inf")))
    assert forever["endsAt"] == "2026-09-22T14:13:20Z"
    (moment,) = made(item("table changed", until_s=0.0, network=""), kind=Kind.OTHER)
    assert moment["endsAt"] == "2026-09-21T14:18:20Z"
    assert "network" not in moment["labels"]


def test_the_end_of_a_problem_resolves_its_alert() -> None:
    """The labels are the same ones, in every severity that the start may have had."""
    (start,) = made(item("the disk is full", reason="disk"), kind=Kind.PROBLEM, urgency=Urgency.CRITICAL)
    ends = made(item("over: disk", reason="disk", time_s=NOW_S + 60), kind=Kind.PROBLEM_OVER)
    assert start["labels"] in [end["labels"] for end in ends]
    assert {end["endsAt"] for end in ends} == {"2026-09-21T14:14:20Z"}
    assert start["endsAt"] == "2026-09-22T14:13:20Z"
    long = [made(item(reason="x" * 400 + tail), kind=Kind.PROBLEM)[0]["labels"]["problem"] for tail in "ab"]
    assert long[0] != long[1]
    assert len(long[0]) <= 256


def test_what_a_digest_only_counts_is_an_alert_of_its_own() -> None:
    """It names the group and the number."""
    *_, rest = made(item("one"), item("two"), count=500)
    assert rest["labels"]["alertname"] == "NodewardenBans"
    assert "498 more" in rest["annotations"]["description"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_bounded_labels(text: str) -> None:
    """They add no label, and are cut."""
    for alert in alerts(hostile(text), SECTION):
        assert set(alert["labels"]) <= {"alertname", "host", "team", "severity", "group", "network", "detector",
                                        "direction", "evidence"}  # fmt: skip
        assert all(len(value) <= 256 for value in alert["labels"].values())


@pytest.fixture
def servers() -> Iterator[list[HookServer]]:
    """Return two servers."""
    both = [HookServer(empty("200 OK")) for _ in range(2)]
    yield both
    for one in both:
        one.close()


def test_each_server_gets_a_message_once(servers: list[HookServer], tmp_path: Path) -> None:
    """One that is down gets it later; the other does not get it again."""
    urls = tuple(server.url.removesuffix("drop.txt") for server in servers)
    one = AlertmanagerChannel("alerts", AlertmanagerSettings(urls=urls), place(tmp_path))
    servers[0].answer = empty("503 Unavailable", "Retry-After: 9")
    with pytest.raises(Again, match="503") as caught:
        one.send(message())
    assert caught.value.after_s == 9.0
    servers[0].answer = empty("200 OK")
    one.send(message())
    assert [len(server.requests) for server in servers] == [2, 1]
    assert servers[1].requests[0].startswith(b"POST /api/v2/alerts HTTP/1.1\r\n")
    servers[1].answer = empty("400 Bad Request")
    with pytest.raises(Refused, match="400"):
        one.send(message(item("another")))
    assert [len(server.requests) for server in servers] == [3, 2]
