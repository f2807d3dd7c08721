"""Reports to AbuseIPDB: only proven bans of single addresses by detectors of this node, few, and without log lines."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from monitor.notify.channel import Again, Refused
from monitor.notify.channels.abuseipdb import AbuseipdbChannel
from monitor.notify.message import Kind, Message
from monitor.notify.sections.abuseipdb import AbuseipdbSettings
from tests.support.hook_server import HookServer
from tests.support.list_server import empty
from tests.support.messages import HOSTILE, message, place

EVENT = {"event": "ban", "origin": "detector", "mode": "enforce", "strength": "proven", "set": "ban",
         "detector": "sshd", "network": "8.8.8.8", "count": 5, "findtime_s": 600.0, "reason": "root@prod-db",
         "last": "Failed password for bob", "sample": ["bob"]}  # fmt: skip


@pytest.fixture
def server() -> Iterator[HookServer]:
    """Return a server in place of AbuseIPDB's."""
    one = HookServer(empty("200 OK"))
    yield one
    one.close()


def channel(server: HookServer, tmp_path: Path, **settings: Any) -> AbuseipdbChannel:
    """Return a channel that reports to it."""
    key = tmp_path / "key"
    key.write_text("0123456789abcdef\n")
    section = AbuseipdbSettings(url=server.url, api_key_file=str(key), **settings)
    return AbuseipdbChannel("abuse", section, place(tmp_path))


def ban(**changes: Any) -> Message:
    """Return the message of a ban."""
    return message(event=EVENT | changes)


def forms(server: HookServer) -> list[dict[str, list[str]]]:
    """Return what was reported."""
    return [parse_qs(request.partition(b"\r\n\r\n")[2].decode()) for request in server.requests]


def test_a_report_names_detector_and_count_and_nothing_else(server: HookServer, tmp_path: Path) -> None:
    """No log line, no user, no host."""
    channel(server, tmp_path).send(ban())
    assert forms(server) == [{"ip": ["8.8.8.8"], "categories": ["18,22"],
                              "comment": ["banned by nodewarden, detector sshd: 5 events within 600 s"]}]  # fmt: skip
    assert server.heads[0]["Key"] == "0123456789abcdef"


@pytest.mark.parametrize(
    "changes",
    [
        {"strength": "spoofable"},
        {"origin": "operator"},
        {"origin": "fleet"},
        {"mode": "observe"},
        {"event": "observe"},
        {"event": "refresh"},
        {"set": "egress"},
        {"network": "8.8.0.0/16"},
        {"network": "2001:4860::/64"},
        {"network": "10.0.0.1"},
        {"network": "127.0.0.1"},
        {"network": "100.64.0.1"},
        {"network": "224.0.0.1"},
        {"network": "::1"},
        {"network": "fe80::1"},
        *({"network": text} for text in HOSTILE),
    ],
)
def test_what_accuses_nobody_or_is_not_proven_is_not_reported(
    server: HookServer, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """It is no failure either: most bans are of no concern to others."""
    channel(server, tmp_path).send(ban(**changes))
    channel(server, tmp_path).send(message(kind=Kind.TEST, event=EVENT))
    assert server.requests == []


def test_an_address_is_reported_once_in_15_minutes_and_a_number_a_day(server: HookServer, tmp_path: Path) -> None:
    """Both are counted across restarts."""
    for number in (1, 1, 2, 3):
        channel(server, tmp_path, per_day=3).send(ban(network=f"8.8.8.{number}"))
    with pytest.raises(Refused, match="3 addresses were reported within a day"):
        channel(server, tmp_path, per_day=3).send(ban(network="8.8.8.4"))
    assert [form["ip"] for form in forms(server)] == [["8.8.8.1"], ["8.8.8.2"], ["8.8.8.3"]]
    path = tmp_path / "reported.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = json.loads(path.read_text())
    kept["reports"] = {address: time_s - 901 for address, time_s in kept["reports"].items()}
    kept["times_s"] = [time_s - 86401 for time_s in kept["times_s"]]
    path.write_text(json.dumps(kept))
    channel(server, tmp_path, per_day=3).send(ban(network="8.8.8.1"))
    assert len(server.requests) == 4


def test_a_damaged_file_of_reports_counts_as_a_day_of_them(server: HookServer, tmp_path: Path) -> None:
    """Nobody knows how many there were."""
    (tmp_path / "reported.json").write_text('{"reports": 7')
    with pytest.raises(Refused, match="within a day"):
        channel(server, tmp_path).send(ban())
    assert server.requests == []


def test_a_failed_report_is_tried_again(server: HookServer, tmp_path: Path) -> None:
    """It counts towards the day, since it may have arrived, and not towards the 15 minutes."""
    server.answer = empty("429 Too Many Requests", "Retry-After: 60")
    one = channel(server, tmp_path)
    with pytest.raises(Again) as caught:
        one.send(ban())
    assert caught.value.after_s == 60.0
    server.answer = empty("200 OK")
    one.send(ban())
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("detector", "categories"), [("port_scan", "14"), ("nginx-auth", "19,21"), ("postfix", "15"), ("own", "5,18")]
)
def test_categories_follow_from_the_detector(
    server: HookServer, tmp_path: Path, detector: str, categories: str
) -> None:
    """Or from the settings."""
    channel(server, tmp_path, categories=("own=5,18",)).send(ban(detector=detector))
    assert forms(server)[0]["categories"] == [categories]
