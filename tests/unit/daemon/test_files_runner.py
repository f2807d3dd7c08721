"""Log files on their way to the pipeline: cursors, names of files, what is told."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.detectors.failures import Backend, FailuresSettings
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from monitor.sources.tail.paths import Paths
from monitor.sources.tail.runner import FilesRunner
from monitor.sources.tail.settings import FilesSettings
from monitor.state.saver import Saver


class Site:
    """A runner of `DIRECTORY/*.log` for a detector `app`, and what it found."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.saver = Saver(directory / "nodewarden.db")
        assert self.saver.open()
        (directory / "app.yaml").write_text('description: Ours.\nfailregex: ["refused <HOST>$"]\n')
        self.found: list[AuthFailure] = []
        self.scan = LogScan(self.filters("*.log"), 0.1)
        self.runner = self.make()

    def filters(self, *patterns: str) -> LogFilters:
        """Load the filter of a detector that reads these."""
        files = tuple(f"{self.directory}/{pattern}" for pattern in patterns)
        section = FailuresSettings(filter=f"{self.directory}/app.yaml", backend=Backend.FILES, files=files)
        return LogFilters(Settings(detectors=Detectors(failures={"app": section})))

    def make(self) -> FilesRunner:
        """Return a runner as a start makes it."""
        return FilesRunner(FilesSettings(), self.scan, self.saver, self.found.extend)

    def restart(self) -> None:
        """End the runner, save, and open another."""
        self.runner.close()
        assert self.saver.flush()
        self.runner = self.make()
        self.runner.open()

    def write(self, name: str, *addresses: str) -> None:
        """Append a failure of each address to a file, dated now."""
        with (self.directory / name).open("a") as file:
            file.writelines(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} refused {address}\n" for address in addresses)

    def read(self) -> list[str]:
        """Take what waits; return the sources that were found, as text."""
        self.found.clear()
        self.runner.tick()
        self.runner._readable()
        while (source := self.runner._source) and (self.runner._queues or not source.is_drained):
            self.runner._readable()
        return [".".join(map(str, event.source)) for event in self.found]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site whose runner is not open yet."""
    site = Site(tmp_path)
    yield site
    site.runner.close()
    site.saver.close()


def test_cursors_outlive_a_restart(site: Site) -> None:
    """Two files, each continues where it was left; nothing is read twice and nothing is left out."""
    site.runner.open()
    site.write("a.log", "192.0.2.1")
    site.write("b.log", "192.0.2.2")
    assert sorted(site.read()) == ["192.0.2.1", "192.0.2.2"]
    site.restart()
    assert site.read() == []
    site.write("b.log", "192.0.2.3")
    site.restart()
    assert site.read() == ["192.0.2.3"]
    assert site.saver.store is not None
    cursors = site.saver.store.cursors()
    assert set(cursors) == {f"file:{site.directory}/a.log", f"file:{site.directory}/b.log"}
    assert {cursor.boot_id for cursor in cursors.values()} == {""}


def test_a_reload_keeps_cursors(site: Site) -> None:
    """With another pattern the files that both name go on; what was written meanwhile is read."""
    site.runner.open()
    site.write("a.log", "192.0.2.1")
    assert site.read() == ["192.0.2.1"]
    site.write("a.log", "192.0.2.2")
    site.scan.follow(site.filters("*.log", "*.txt"), 0.1)
    site.runner.reconfigure(FilesSettings())
    assert site.read() == ["192.0.2.2"]
    site.scan.follow(LogFilters(Settings(detectors=Detectors(failures={}))), 0.1)
    site.runner.reconfigure(FilesSettings())
    assert site.runner.describe()["state"] == "off"
    assert site.runner.problems() == []


def test_a_reload_that_changes_nothing_for_files_leaves_them_open(site: Site) -> None:
    """The source stays the same one."""
    site.runner.open()
    source = site.runner._source
    site.scan.follow(site.filters("*.log"), 0.2)
    site.runner.reconfigure(FilesSettings())
    assert site.runner._source is source is not None


def test_files_that_are_not_there_yet_are_waited_for(site: Site) -> None:
    """That is a state of source and filter, not a problem, and ends with the first file."""
    site.runner.open()
    assert site.runner.describe()["state"] == "waiting for files"
    assert site.runner.problems() == []
    assert [one["state"] for one in site.scan.describe(site.runner.waiting)] == ["waiting for files"]
    site.write("a.log", "192.0.2.1")
    assert site.read() == ["192.0.2.1"]
    assert site.runner.describe()["state"] == "up"
    assert [one["state"] for one in site.scan.describe(site.runner.waiting)] == ["up"]
    assert ("nodewarden_source_files", ("files",), 1) in list(site.runner.samples())


def test_what_proves_nothing_is_told(site: Site) -> None:
    """A file that anybody may write: its failures count as forgeable, and a notice says why."""
    site.runner.open()
    site.write("a.log", "192.0.2.1")
    (site.directory / "a.log").chmod(0o666)
    assert site.read() == ["192.0.2.1"]
    assert [event.strength for event in site.found] == [Strength.SPOOFABLE]
    assert f"{site.directory}/a.log proves nothing: everybody may write it" in site.runner.notices
    assert ("nodewarden_source_untrusted_records_total", ("files",), 1) in list(site.runner.samples())


def test_files_that_are_costly_to_list_are_listed_soon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that appears meanwhile wakes the daemon, but is found by a tick, which must come in time."""
    site.runner.open()
    site.read()
    assert not site.runner.has_news()
    monkeypatch.setattr(Paths, "is_costly", True)
    site.write("new.log", "192.0.2.1")
    assert site.read() == []
    assert site.runner.has_news()
    assert site.runner.watched() is None
    assert site.runner._source is not None
    site.runner._source.tick(time.monotonic() + 11.0)
    assert site.read() == ["192.0.2.1"]
    assert not site.runner.has_news()
