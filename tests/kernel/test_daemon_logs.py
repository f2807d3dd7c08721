"""The daemon reads logs: failures in the journal and in files end in bans, and each source degrades alone."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kernel.conftest import Site
from tests.kernel.test_journal import journald
from tests.support.daemon import wait_for
from tests.support.journald import Journald

__all__ = ["journald"]

pytestmark = pytest.mark.kernel

_FILTER = 'description: Ours.\nfailregex: ["refused <F-USER>\\\\S+</F-USER> from <HOST>$"]\n'
_WRONG = 'description: It has an open bracket.\nfailregex: ["^(refused <HOST>$"]\n'
_NO_LOGS = 'mount -t tmpfs none /var/log; mount -t tmpfs none /run; exec "$@"'


class Logs:
    """A site whose daemon has the detectors `app` (a file), `unit` (the journal) and what a test adds."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.daemon = site.daemon
        self.directory = site.daemon.configuration_path.parent
        self.path = self.directory / "app.log"
        (self.directory / "ours.yaml").write_text(_FILTER)
        (self.directory / "wrong.yaml").write_text(_WRONG)

    def configure(self, *detectors: str) -> None:
        """Write the configuration: `detectors` are lines of YAML, `name: {...}`."""
        lines = ["detectors:", "  failures:", "    sshd: {enabled: false}", *(f"    {one}" for one in detectors)]
        self.site.configure("\n".join(lines) + "\n")

    def of_file(self, name: str = "app", filter_name: str = "ours", file: str = "app.log", more: str = "") -> str:
        """Return a detector that reads a file."""
        where = f"filter: {self.directory}/{filter_name}.yaml, backend: files, files: ['{self.directory}/{file}']"
        return f"{name}: {{{where}, maxretry: 3, evidence: proven{more}}}"

    def of_journal(self, name: str = "unit") -> str:
        """Return a detector that reads the journal."""
        where = f"filter: {self.directory}/ours.yaml, backend: journal, journalmatch: ['SYSLOG_IDENTIFIER=sshd']"
        return f"{name}: {{{where}, maxretry: 3, evidence: proven}}"

    def write(self, *addresses: str, path: Path | None = None) -> None:
        """Append a failure of each address to a file."""
        with (path or self.path).open("a") as file:
            file.writelines(f"refused root from {address}\n" for address in addresses)

    def source(self, name: str) -> dict[str, object]:
        """Return a source's part of the status."""
        return next(one for one in self.daemon.ask("status")["sources"] if one["name"] == name)

    def until_banned(self, *addresses: str) -> None:
        """Wait until exactly these are banned."""
        wait_for(lambda: set(self.site.banned()) == set(addresses), f"bans of {addresses}", lambda: self.daemon.log)


@pytest.fixture
def logs(site: Site) -> Logs:
    """Return a site that reads logs."""
    return Logs(site)


def inside(journald: Journald) -> Sequence[str]:
    """Return the wrapper that gives the daemon this journald's journal."""
    return ("nsenter", f"--mount=/proc/{journald.process.pid}/ns/mnt")


def test_failures_in_the_journal_are_banned(logs: Logs, journald: Journald) -> None:
    """Three failures of one address: proven, banned, explained, counted; two of another are not enough."""
    logs.configure(logs.of_journal())
    logs.daemon.start(*inside(journald))
    journald.send(*["refused root from 192.0.2.1"] * 3, *["refused root from 192.0.2.2"] * 2)
    logs.until_banned("192.0.2.1")
    answer = logs.daemon.ask("why", "192.0.2.1")
    assert [(ban["set"], ban["detector"], ban["strength"]) for ban in answer["bans"]] == [("ban", "unit", "proven")]
    assert logs.site.in_kernel("192.0.2.1")
    metrics = logs.daemon.metrics()
    assert metrics['nodewarden_source_up{source="journal"}'] == 1
    assert metrics['nodewarden_filter_failures_total{detector="unit"}'] == 5
    assert metrics['nodewarden_events_total{kind="auth_failure"}'] == 5
    assert logs.source("journal")["events"] == 5


def test_the_journal_is_read_on_after_a_restart(logs: Logs, journald: Journald) -> None:
    """What was logged while the daemon was down is read, what it had read before is not read twice."""
    logs.configure(logs.of_journal())
    logs.daemon.start(*inside(journald))
    journald.send("refused root from 192.0.2.1", "refused root from 192.0.2.1")
    wait_for(lambda: logs.source("journal")["events"] == 2, "two failures", lambda: logs.daemon.log)
    assert logs.daemon.stop() == 0
    journald.send(*["refused root from 192.0.2.2"] * 2)
    logs.daemon.start(*inside(journald))
    wait_for(lambda: logs.source("journal")["events"] == 2, "two failures", lambda: logs.daemon.log)
    assert logs.site.banned() == []
    journald.send("refused root from 192.0.2.2", "refused root from 192.0.2.1")
    logs.until_banned("192.0.2.1", "192.0.2.2")  # with what was counted before
    assert logs.source("journal")["events"] == 4


_SLOW = "description: It goes back and forth.\nfailregex: ['^(?:\\w+\\s?)+ failed from <HOST>$', 'refused <HOST>$']\n"


def test_a_slow_filter_holds_up_no_other_log(logs: Logs) -> None:
    """Lines that take a filter years: what another log and another expression show is banned, and SIGTERM obeyed."""
    (logs.directory / "slow.yaml").write_text(_SLOW)
    logs.configure(logs.of_file(), logs.of_file("slow", filter_name="slow", file="slow.log"))
    slow = logs.directory / "slow.log"
    slow.touch()
    logs.daemon.start()
    flood = ("word " * 1_500 + "! failed from 192.0.2.99\n") * 1_000
    with slow.open("a") as file:
        file.write(flood)
    forcers = [f"192.0.2.{number}" for number in range(1, 11)]
    logs.write(*forcers * 3)
    logs.until_banned(*forcers)
    with slow.open("a") as file:
        file.writelines(["refused 192.0.2.11\n"] * 3)
    logs.until_banned(*forcers, "192.0.2.11")
    status = logs.daemon.ask("status")
    assert any(one.startswith("detector slow skips lines longer than ") for one in status["problems"]), status
    metrics = logs.daemon.metrics()
    assert metrics['nodewarden_filter_paused{detector="slow"}'] == 1
    assert metrics['nodewarden_filter_paused{detector="app"}'] == 0
    assert metrics['nodewarden_filter_skipped_total{detector="slow"}'] > 0
    with slow.open("a") as file:
        file.write(flood)
    assert logs.daemon.stop() == 0


def test_without_a_journal_all_else_goes_on(logs: Logs) -> None:
    """A detector wants a journal that is not there: a problem and a metric say so; the kernel log bans scanners."""
    logs.configure(logs.of_journal())
    logs.daemon.start("unshare", "-m", "sh", "-ec", _NO_LOGS, "sh")
    status = logs.daemon.ask("status")
    assert status["problems"][0].startswith("reading the journal failed: there is no journal at")
    states = {one["name"]: one["state"] for one in status["sources"]}
    assert (states["kernel_log"], states["journal"]) == ("up", "down")
    assert logs.daemon.metrics()['nodewarden_source_up{source="journal"}'] == 0
    assert logs.daemon.run("status").stdout.splitlines()[1].startswith("PROBLEM: reading the journal failed")
    logs.site.scan()
    logs.until_banned(logs.site.attacker.address4)


def test_a_reload_adds_a_detector_of_the_journal(logs: Logs, journald: Journald) -> None:
    """Nobody reads the journal, then a detector does, then another as well: nothing is lost or read twice."""
    logs.configure()
    logs.daemon.start(*inside(journald))
    assert logs.source("journal")["state"] == "off"
    assert logs.daemon.ask("status")["problems"] == []
    logs.configure(logs.of_journal())
    assert logs.daemon.run("reload").returncode == 0
    assert logs.source("journal")["state"] == "up"
    journald.send(*["refused root from 192.0.2.1"] * 2)
    wait_for(lambda: logs.source("journal")["events"] == 2, "two failures", lambda: logs.daemon.log)
    logs.configure(logs.of_journal(), logs.of_journal("second"))
    assert logs.daemon.run("reload").returncode == 0
    journald.send("refused root from 192.0.2.1")
    logs.until_banned("192.0.2.1")
    totals = {
        name: logs.daemon.metrics()[f'nodewarden_filter_failures_total{{detector="{name}"}}']
        for name in ("unit", "second")
    }
    assert totals == {"unit": 3, "second": 1}


def test_failures_in_a_file_are_banned(logs: Logs) -> None:
    """The file is not there yet, which is a problem; it appears, and three failures in it are a ban."""
    logs.configure(logs.of_file())
    logs.daemon.start()
    assert logs.source("files")["state"] == "waiting for files"
    missing = f"detector app finds nothing: no file matches {logs.path}"
    assert logs.daemon.ask("status")["problems"] == [missing]
    assert logs.daemon.metrics()['nodewarden_filter_log_missing{detector="app"}'] == 1
    logs.write(*["192.0.2.1"] * 3, *["192.0.2.2"] * 2)
    logs.until_banned("192.0.2.1")
    assert logs.source("files")["state"] == "up"
    assert logs.daemon.ask("status")["problems"] == []
    assert [ban["detector"] for ban in logs.daemon.ask("why", "192.0.2.1")["bans"]] == ["app"]
    metrics = logs.daemon.metrics()
    assert metrics['nodewarden_source_up{source="files"}'] == 1
    assert metrics['nodewarden_source_files{source="files"}'] == 1
    assert metrics['nodewarden_filter_failures_total{detector="app"}'] == 5


def test_files_are_read_on_after_a_restart(logs: Logs) -> None:
    """What was written while the daemon was down counts if its date is recent; what was read is not read twice."""
    logs.configure(logs.of_file())
    logs.path.touch()
    logs.daemon.start()
    logs.write("192.0.2.1", "192.0.2.1")
    wait_for(lambda: logs.source("files")["events"] == 2, "two failures", lambda: logs.daemon.log)
    assert logs.daemon.stop() == 0
    dated = time.strftime("%Y-%m-%dT%H:%M:%S%z ")
    with logs.path.open("a") as file:
        file.writelines([f"{dated}refused root from 192.0.2.2\n"] * 2)
    logs.daemon.start()
    wait_for(lambda: logs.source("files")["events"] == 2, "two failures", lambda: logs.daemon.log)
    assert logs.site.banned() == []
    logs.write("192.0.2.2", "192.0.2.1")
    logs.until_banned("192.0.2.1", "192.0.2.2")  # with what was counted before
    assert logs.source("files")["events"] == 4


def test_a_reload_adds_a_file_without_losing_the_cursor(logs: Logs) -> None:
    """Two failures, a reload that adds a detector with a file of its own, one failure more: that makes three."""
    logs.configure(logs.of_file())
    logs.path.touch()
    logs.daemon.start()
    logs.write("192.0.2.1", "192.0.2.1")
    wait_for(lambda: logs.source("files")["events"] == 2, "two failures", lambda: logs.daemon.log)
    logs.configure(logs.of_file(), logs.of_file("second", file="second.log"))
    assert logs.daemon.run("reload").returncode == 0
    (missing,) = logs.daemon.ask("status")["problems"]
    assert missing.startswith("detector second finds nothing: no file matches ")
    logs.write("192.0.2.1")
    logs.write(*["192.0.2.2"] * 3, path=logs.directory / "second.log")
    logs.until_banned("192.0.2.1", "192.0.2.2")
    assert logs.source("files")["events"] == 6
    assert logs.daemon.ask("status")["problems"] == []


def test_a_faulty_filter_costs_its_own_detector(logs: Logs) -> None:
    """The daemon says which detector finds nothing and why, and the others ban; mended, it works by a reload."""
    logs.configure(logs.of_file(), logs.of_file("mine", filter_name="wrong"))
    logs.path.touch()
    logs.daemon.start()
    problems = logs.daemon.ask("status")["problems"]
    assert len(problems) == 1
    assert problems[0].startswith("detector mine finds nothing: ")
    assert problems[0] in logs.daemon.log
    metrics = logs.daemon.metrics()
    assert [metrics[f'nodewarden_filter_up{{detector="{name}"}}'] for name in ("app", "mine")] == [1, 0]
    logs.write(*["192.0.2.1"] * 3)
    logs.until_banned("192.0.2.1")
    (logs.directory / "wrong.yaml").write_text(_FILTER)
    assert logs.daemon.run("reload").returncode == 0
    assert logs.daemon.ask("status")["problems"] == []
    logs.write(*["192.0.2.2"] * 3)
    wait_for(lambda: logs.daemon.metrics()['nodewarden_filter_failures_total{detector="mine"}'] == 3, "mine to work")
