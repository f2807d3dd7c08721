"""Notifications of a real daemon: a real ban becomes a message; restarts of either side repeat and lose nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import NODEWARDEN, wait_for

pytestmark = pytest.mark.kernel

_MANY = 3000
_CHANNELS = """
notify:
  digest_every: 10s
  webhook:
    hook: {url: "http://127.0.0.1:8099/"}
    dead: {url: "http://127.0.0.1:9/"}
"""


class _Notified:
    """The site with a notifier and a webhook."""

    def __init__(self, site: Site, directory: Path) -> None:
        self.site, self.directory = site, directory
        site.configure(_CHANNELS)
        site.node.start(sys.executable, "-m", "tests.support.notify_server", "127.0.0.1", "8099", str(directory))
        self.log_path = directory / "notify.log"
        self.notifier: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the notifier, and wait until it follows the daemon."""
        state = self.directory / "state/notify/state.json"
        state.unlink(missing_ok=True)
        with self.log_path.open("a") as log:
            self.notifier = self.site.node.start(
                NODEWARDEN, "notify", "run", "--config", self.site.daemon.configuration_path, stderr=log
            )
        wait_for(state.exists, "the notifier to run", self.log_path.read_text)
        wait_for(lambda: json.loads(state.read_text())["heartbeat_s"], "its heartbeat", self.log_path.read_text)

    def end(self, number: signal.Signals) -> None:
        """End the notifier with a signal."""
        assert self.notifier is not None
        self.notifier.send_signal(number)
        self.notifier.wait(10)

    def answer(self, status: int) -> None:
        """Have the webhook answer with a status."""
        new = self.directory / "new"
        new.write_text(str(status))
        new.replace(self.directory / "status")

    def messages(self, kind: str = "ban") -> list[dict[str, Any]]:
        """Return the messages of a kind that arrived."""
        path = self.directory / "messages"
        lines = path.read_text().splitlines() if path.exists() else []
        return [message for message in map(json.loads, lines) if message["kind"] == kind]

    def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for this many messages about bans."""
        wait_for(lambda: len(self.messages()) >= count, f"{count} messages", self.log_path.read_text)
        return self.messages()


@pytest.fixture
def notified(site: Site, tmp_path: Path) -> _Notified:
    """Return a site with a webhook; daemon and notifier do not run yet."""
    return _Notified(site, tmp_path)


def test_a_ban_becomes_a_message(notified: _Notified) -> None:
    """A detector's ban is a message with host, reason, evidence and end; status and metrics show a dead channel."""
    site = notified.site
    site.daemon.start()
    notified.start()
    site.scan()
    (message,) = notified.until(1)
    (item,) = message["items"]
    assert item["network"] == site.attacker.address4
    assert (item["detector"], item["set"], item["strength"]) == ("port_scan", "shun", "spoofable")
    assert "distinct ports" in item["reason"]
    assert item["until_s"] > item["time_s"]
    assert item["why"] == f"nodewarden why {site.attacker.address4}"
    assert message["title"] == f"{message['host']}: shun {site.attacker.address4} by port_scan: {item['reason']}"
    channels: dict[str, dict[str, Any]] = {}

    def known() -> bool:
        channels.update({one["name"]: one for one in site.daemon.ask("status")["notify"]})
        return bool(channels["hook"]["sent"] and channels["dead"]["fault"])

    wait_for(known, "the daemon to know", lambda: site.daemon.log)
    assert (channels["dead"]["sent"], channels["hook"]["fault"]) == (0, "")
    assert channels["dead"]["queued"] >= 1
    assert "notifications by dead (webhook): 0 sent, " in site.daemon.run("status").stdout
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_notify_messages_total{channel="hook",outcome="sent"}'] >= 1
    assert metrics['nodewarden_notify_queue{channel="dead"}'] >= 1
    done = site.node.run(NODEWARDEN, "notify", "status", "--config", site.daemon.configuration_path, check=False)
    assert done.returncode == 1
    assert "fails since" in done.stdout


def test_restarts_repeat_nothing_and_lose_nothing(notified: _Notified, tmp_path: Path) -> None:
    """A daemon that restores thousands of bans leads to no message; a killed notifier sends what waited."""
    site = notified.site
    site.daemon.start()
    notified.start()
    site.daemon.run("ban", "192.0.2.1")
    notified.until(1)
    addresses = tmp_path / "addresses"
    addresses.write_text("".join(f"198.{18 + n // 62_500}.{n // 250 % 250}.{n % 250 + 1}\n" for n in range(_MANY)))
    assert site.daemon.run("import", str(addresses)).returncode == 0
    site.daemon.stop()
    site.daemon.start()
    assert len(site.banned()) > _MANY
    notified.answer(503)
    site.scan()
    spool = tmp_path / "state/notify/spool.json"
    wait_for(lambda: site.attacker.address4 in spool.read_text(), "the message to wait", notified.log_path.read_text)
    notified.end(signal.SIGKILL)
    site.daemon.run("ban", "--egress", "192.0.2.99")
    notified.answer(200)
    notified.start()
    wait_for(lambda: "192.0.2.99" in str(notified.messages()), "the ban of the meantime", notified.log_path.read_text)
    networks = [item["network"] for message in notified.messages() for item in message["items"]]
    assert sorted(set(networks)) == sorted({"192.0.2.1", "192.0.2.99", site.attacker.address4})
    assert sum(message["count"] for message in notified.messages()) == len(networks)
    notified.end(signal.SIGTERM)
    assert json.loads((tmp_path / "state/notify/state.json").read_text())["heartbeat_s"] == 0


def test_bans_between_a_kill_and_a_restart_of_the_daemon_are_notified(notified: _Notified) -> None:
    """The notifier does not run when the daemon decides, and that daemon not any more when the notifier runs again."""
    site = notified.site
    site.daemon.start()
    notified.start()
    site.daemon.run("ban", "192.0.2.1")
    notified.until(1)
    notified.end(signal.SIGKILL)
    for number in (2, 3):
        site.daemon.run("ban", f"192.0.2.{number}")
        site.daemon.stop()
        site.daemon.start()
    site.daemon.run("ban", "192.0.2.4")
    notified.start()
    wait_for(lambda: "192.0.2.4" in str(notified.messages()), "the last ban", notified.log_path.read_text)
    networks = [item["network"] for message in notified.messages() for item in message["items"]]
    assert sorted(set(networks)) == [f"192.0.2.{number}" for number in (1, 2, 3, 4)]
    assert sum(message["unseen"] for message in notified.messages()) == 0
    notified.end(signal.SIGTERM)
