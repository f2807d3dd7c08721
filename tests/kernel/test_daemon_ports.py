"""The daemon bans some ports only: on evidence, across restarts, kills and flushes, and until they are lifted."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Lab
from tests.support.open_ports import listen, open_ports

pytestmark = pytest.mark.kernel


class Guarded:
    """A node with two services, a daemon that watches a log of ours, and a source."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.node, self.source = lab["node"], lab["source"]
        self.log = directory / "app.log"
        self.log.touch()
        self.filter = directory / "app.yaml"
        self.filter.write_text("description: Test.\nfailregex:\n  - 'failed from (?:<IP4>|<IP6>)$'\n")
        with self.node.entered():
            self.listening = listen((22, 80))
        self.daemon = Daemon(self.node, directory)
        self.daemon.configure(self.configuration("ports: [tcp/22]"))

    def configuration(self, more: str) -> str:
        """Return a configuration in which the failures of one log are proven."""
        return (
            "sources: {drops: {enabled: false}, kernel_log: {enabled: false}}\n"
            "bans: {prefixes: {ipv6_score: 64}}\n"
            f"detectors: {{failures: {{sshd: {{enabled: false}}, app: {{filter: '{self.filter}', "
            f"files: ['{self.log}'], evidence: proven, maxretry: 3, bantime: 10m, {more}}}}}}}\n"
        )

    def fail(self, address: str) -> None:
        """Write failures of a source into the log."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        with self.log.open("a") as file:
            file.writelines(f"{stamp} failed from {address}\n" for _ in range(3))
            os.fsync(file.fileno())

    def open_ports(self, family: str) -> set[int]:
        """Return which of 22 and 80 the source reaches."""
        return open_ports(self.source, self.node, family, (22, 80))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Yield a guarded node with its daemon running."""
    with Lab("node", "source", label="dports") as lab:
        made = Guarded(lab, tmp_path)
        try:
            made.daemon.start()
            yield made
        finally:
            for one in made.listening:
                one.close()


def test_from_evidence_to_the_end(guarded: Guarded) -> None:
    """Failures ban port 22 of the source, of both families; nothing that happens widens that."""
    daemon, source = guarded.daemon, guarded.source
    guarded.fail(source.address4)
    guarded.fail(source.address6)
    wait_for(lambda: len(daemon.ask("list")) == 2, "both bans", lambda: daemon.log)
    assert {(ban["network"], *ban["ports"]) for ban in daemon.ask("list")} == {
        (source.address4, "tcp/22"),
        (source.address6, "tcp/22"),  # its /64 is that of the node, so the address alone is banned
    }
    assert guarded.open_ports("4") == guarded.open_ports("6") == {80}
    why = daemon.ask("why", source.address4)
    assert why["bans"][0]["kernel"]["packets"] >= 1
    assert "at tcp/22 only" in daemon.run("why", source.address4).stdout

    time.sleep(2.0)  # the store writes within a second
    os.kill(daemon.pid, signal.SIGKILL)
    guarded.node.nft("flush ruleset\n")
    assert guarded.open_ports("4") == {22, 80}
    daemon.start()
    assert guarded.open_ports("4") == guarded.open_ports("6") == {80}

    for change in ("flush ruleset", "flush set inet nodewarden port_ban6", "flush set inet nodewarden port_ban4"):
        guarded.node.nft(f"{change}\n")
        wait_for(lambda: guarded.open_ports("4") == guarded.open_ports("6") == {80}, change, lambda: daemon.log)

    assert daemon.run("ban", source.address4, "--for", "1h").returncode == 0
    assert guarded.open_ports("4") == set()
    assert daemon.run("unban", source.address4).returncode == 0
    assert guarded.open_ports("4") == {22, 80}
    assert guarded.open_ports("6") == {80}
    assert daemon.run("unban", "--all").returncode == 0
    assert guarded.open_ports("6") == {22, 80}
    assert daemon.ask("list") == []


def test_bans_by_hand_and_their_export(guarded: Guarded, tmp_path: Path) -> None:
    """A ban of named ports comes back from JSON as it was, and never as one of all ports from a plain list."""
    daemon, address = guarded.daemon, guarded.source.address4
    assert daemon.run("ban", address, "--port", "http", "--port", "udp/53").returncode == 0
    assert daemon.run("ban", address, "--port", "http", "--egress").returncode == 2
    assert daemon.run("ban", address, "--port", "nowhere").returncode == 2
    assert guarded.open_ports("4") == {22}
    assert daemon.run("export").stdout == ""
    exported = tmp_path / "bans.json"
    exported.write_text(daemon.run("export", "--format", "json").stdout)
    daemon.run("unban", "--all")
    assert guarded.open_ports("4") == {22, 80}
    assert daemon.run("import", "--format", "json", str(exported)).returncode == 0
    assert guarded.open_ports("4") == {22}
    assert daemon.ask("list")[0]["ports"] == ["tcp/80", "udp/53"]
