"""`backend: auto`: which log counts, as files and journals come and go; what is missing or silent is reported."""

import itertools
import time
from pathlib import Path

import pytest

from monitor.cli.fail2ban import fail2ban_group
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.daemon.sources.log_silence import Expected, LogSilence, units_of
from monitor.detectors.failures import FailuresSettings
from monitor.filters.library import built_in_names, load_filter
from monitor.filters.syslog_files import is_syslog_file
from monitor.model.logs import JOURNAL, LogBlock
from monitor.node.units import running_units
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from monitor.sources.tail.reader import Tail
from tests.unit.filters.fail2ban.support import write

_MACHINE = "0123456789abcdef0123456789abcdef"
_OWN = "{root}/logs/*access.log"


class Node:
    """A machine below a directory, with a detector `web` and what it finds in files and journal."""

    def __init__(self, root: Path, **section: object) -> None:
        self.root = root
        (root / "logs").mkdir()
        self.log = root / "logs/access.log"
        (root / "web.yaml").write_text(
            'description: Ours.\nfailregex: ["refused <HOST>$"]\njournalmatch: ["_SYSTEMD_UNIT=web.service"]\n'
            f"files: ['{_OWN.format(root=root)}']\n"
        )
        self.section = FailuresSettings(filter=str(root / "web.yaml"), **section)  # type: ignore[arg-type]
        self.tail: Tail | None = None

    def start(self) -> None:
        """Start with the logs that are there."""
        filters = LogFilters(Settings(detectors=Detectors(failures={"web": self.section})), self.root)
        self.scan = LogScan(filters, 0.1)
        self.open()

    def open(self) -> None:
        """Open the files that the scan names."""
        if self.tail:
            self.tail.close()
        self.tail = Tail(self.scan.files)

    def make_journal(self) -> None:
        (self.root / "run/log/journal" / _MACHINE).mkdir(parents=True)

    def write_file(self, *addresses: str) -> None:
        with self.log.open("a") as file:
            file.writelines(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} refused {one}\n" for one in addresses)

    def both(self, address: str) -> list[str]:
        """Write one failure to every log that is there, as an application does that logs twice; return what counts."""
        now_s = time.time()
        if self.log.exists():
            self.write_file(address)
        found = self.read()
        if self.scan.journal:
            line = f"h web[1]: refused {address}\n".encode()
            found += self._failures(LogBlock(JOURNAL, ("web",), line, now_s, (now_s,)))
        return found

    def read(self) -> list[str]:
        """Read the files, as the loop does, and look which logs are there."""
        assert self.tail
        self.tail._is_stale = True
        found = [one for block in self.tail.read() for one in self._failures(block)]
        self.tail.tick()
        if self.scan.look():
            self.open()
        return found

    def _failures(self, block: LogBlock) -> list[str]:
        scan = self.scan.begin(block)
        return [".".join(map(str, event.source)) for event in scan.run()] if scan else []

    def state(self) -> tuple[str, bool, float]:
        """Return the state in `status`, whether there is a problem, and the metric."""
        assert self.tail
        waiting = self.tail.waiting
        metrics = {name: value for name, _, value in self.scan.samples(waiting)}
        (row,) = self.scan.describe(waiting)
        return row["state"], bool(self.scan.problems(waiting)), metrics["nodewarden_filter_log_missing"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(("has_file", "has_journal"), list(itertools.product((False, True), repeat=2)))
def test_what_is_there_counts_once(node: Node, *, has_file: bool, has_journal: bool) -> None:
    """Files, else the journal, else both are missing: a problem, in the metric and in doctor, until one is there."""
    if has_file:
        node.write_file()
    if has_journal:
        node.make_journal()
    node.start()
    is_missing = not (has_file or has_journal)
    assert node.both("192.0.2.1") == ([] if is_missing else ["192.0.2.1"])
    state = ("waiting for files", True, 1.0) if is_missing else ("up", False, 0.0)
    assert node.state() == state
    if is_missing:
        (problem,) = node.scan.problems(node.tail.waiting if node.tail else ())
        assert (
            problem
            == f"detector web finds nothing: no file matches {node.root}/logs/*access.log, and there is no journal"
        )
    assert node.scan._filters.missing().keys() == ({"web"} if is_missing else set())


def test_a_file_that_appears_takes_over(node: Node) -> None:
    """From its first line on; a line that the journal had already does not count again."""
    node.make_journal()
    node.start()
    assert node.both("192.0.2.1") == ["192.0.2.1"]
    assert node.scan.describe()[0]["reads"] == ["journal"]
    with node.log.open("w") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z', time.localtime(time.time() - 30))} refused 192.0.2.1\n")
    time_s = time.time() + 1  # a later second than that of the journal's line
    with node.log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z', time.localtime(time_s))} refused 192.0.2.2\n")
    assert node.read() == ["192.0.2.2"]
    assert node.scan.describe()[0]["reads"] == [f"{node.root}/logs/*access.log"]
    line = b"h web[1]: refused 192.0.2.3\n"
    assert node._failures(LogBlock(JOURNAL, ("web",), line, time.time(), (time.time(),))) == []


def test_a_file_that_vanishes_gives_way(node: Node) -> None:
    """Not at once, as rotation takes it away for a moment; after a minute the journal counts."""
    node.make_journal()
    node.write_file()
    node.start()
    node.log.unlink()
    assert node.both("192.0.2.1") == []
    assert node.tail
    node.tail.tick(time.monotonic() + 100)
    now_s = node.scan._choice._on_files["web"]
    assert now_s is not None
    node.scan._choice.look(now_s + 59)
    assert node.both("192.0.2.2") == []
    node.scan._choice.look(now_s + 61)
    assert node.both("192.0.2.3") == ["192.0.2.3"]
    node.write_file("192.0.2.4")
    node.read()
    assert node.scan.describe()[0]["reads"] == [f"{node.root}/logs/*access.log"]


@pytest.mark.parametrize("can_read", [False, True])
def test_a_file_that_cannot_be_read_leaves_the_journal(
    node: Node, monkeypatch: pytest.MonkeyPatch, *, can_read: bool
) -> None:
    """As grafana's on Debian: the source of files reports it, and what the journal has is found meanwhile."""
    node.make_journal()
    node.write_file()
    monkeypatch.setattr("os.access", lambda *_, **__: can_read)
    node.start()
    now_s = time.time()
    begun = node.scan.begin(LogBlock(JOURNAL, ("web",), b"h web[1]: refused 192.0.2.3\n", now_s, (now_s,)))
    assert (begun is None) is can_read


def test_a_journal_that_appears_is_read(node: Node) -> None:
    """The sources are told to follow."""
    node.start()
    assert node.both("192.0.2.1") == []
    node.make_journal()
    assert node.read() == []
    assert set(node.scan.journal) == {"web"}
    assert node.both("192.0.2.2") == ["192.0.2.2"]
    assert node.state() == ("up", False, 0.0)


def test_files_of_the_syslog_daemon_come_after_the_journal(tmp_path: Path) -> None:
    """The journal has their lines and knows who wrote them; without one they count."""
    settings = Settings(detectors=Detectors(failures={"sshd": FailuresSettings(filter="sshd")}))
    filters = LogFilters(settings, tmp_path)
    assert "/var/log/auth.log" in filters.files["sshd"]
    (tmp_path / "run/log/journal" / _MACHINE).mkdir(parents=True)
    assert filters.look_for_journal()
    assert (list(filters.journal), list(filters.files)) == (["sshd"], [])
    assert not filters.look_for_journal()


@pytest.mark.parametrize("name", built_in_names())
def test_each_filter_has_a_log_on_debian(name: str) -> None:
    """Each names files; those that only syslog writes come with a match for the journal. No pattern is relative."""
    definition = load_filter(name)
    assert definition.files
    assert all(pattern.startswith("/") for pattern in definition.files)
    assert definition.journalmatch or not all(map(is_syslog_file, definition.files))
    is_of_units = "SYSLOG_FACILITY" not in str(definition.journalmatch)
    assert bool(units_of(definition)) is (bool(definition.journalmatch) and is_of_units)


def test_what_the_import_prints_reads_the_file(tmp_path: Path) -> None:
    """A jail with a file and a match: its file counts while it is there, as in fail2ban; else the journal."""
    from click.testing import CliRunner

    from monitor.settings.load import load

    log = tmp_path / "demo.log"
    write(
        tmp_path / "f",
        {
            "filter.d/demo.conf": "[Definition]\nfailregex = ^ *\\S+ demo: bad <HOST>$\njournalmatch = _COMM=demo\n",
            "jail.conf": f"[demo]\nenabled = true\nfilter = demo\nlogpath = {log}\n",
        },
    )
    text = CliRunner().invoke(fail2ban_group, ["import", str(tmp_path / "f")]).output
    (tmp_path / "nodewarden.yaml").write_text(text)
    section = load(tmp_path / "nodewarden.yaml").settings.detectors.failures["demo"]
    assert (section.files, section.journalmatch) == ((str(log),), ("_COMM=demo",))
    (tmp_path / "run/log/journal" / _MACHINE).mkdir(parents=True)
    scan = LogScan(LogFilters(Settings(detectors=Detectors(failures={"demo": section})), tmp_path), 0.1)
    now_s = time.time()

    def found(log: str, text: str, times_s: tuple[float, ...] = ()) -> int:
        begun = scan.begin(LogBlock(log, ("demo",), text.encode(), now_s, times_s))
        return len(begun.run()) if begun else 0

    assert found(JOURNAL, "h demo: bad 192.0.2.1\n", (now_s,)) == 1
    assert found(str(log), f"{time.strftime('%b %d %H:%M:%S', time.localtime(now_s + 1))} h demo: bad 192.0.2.1\n") == 1
    assert found(JOURNAL, "h demo: bad 192.0.2.1\n", (now_s,)) == 0


def test_a_silent_log_is_reported_while_its_service_runs() -> None:
    """After the section's time without any line; a line, or a service that ends, takes it back."""
    running = ["web.service"]
    silence = LogSilence(lambda units: [unit for unit in units if unit in running])
    begin_s = time.monotonic()
    silence.follow({"web": Expected(3600, ("web.service",)), "never": Expected(0, ("web.service",))}, begin_s)
    silence.look(begin_s + 3500)
    assert silence.silent == {}
    silence.look(begin_s + 7200)
    assert silence.silent == {"web": "no line in 2 hours, although web.service runs"}
    silence.hear(["web"])
    assert silence.silent == {}
    silence.look(begin_s + 2 * 7200)
    assert set(silence.silent) == {"web"}
    running.clear()
    silence.look(begin_s + 3 * 7200)
    assert silence.silent == {}


def test_a_unit_runs_while_its_control_group_has_processes(tmp_path: Path) -> None:
    """In either version of control groups; a slice runs while one of its instances does."""
    for group in ("sys/fs/cgroup/system.slice/a.service", "sys/fs/cgroup/systemd/system.slice/b.slice/b@1.service"):
        (tmp_path / group).mkdir(parents=True)
        (tmp_path / group / "cgroup.procs").write_text("17\n")
    (tmp_path / "sys/fs/cgroup/system.slice/idle.service").mkdir()
    (tmp_path / "sys/fs/cgroup/system.slice/idle.service/cgroup.procs").write_text("")
    assert running_units(["a.service", "b.slice", "idle.service", "c.service"], tmp_path) == ["a.service", "b.slice"]
