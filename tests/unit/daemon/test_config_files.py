"""The files that what is in force was read from: what differs on disk, since when, and whether it could be used."""

import os
from pathlib import Path

import pytest

from monitor.daemon.life import config_files
from monitor.daemon.life.config_files import ConfigFiles
from tests.unit.config.support import write

STEP_S = 10.0


class Disk:
    """A main file, a drop-in and a filter, and the daemon's view of them at a time that passes by steps."""

    def __init__(self, directory: Path) -> None:
        self.main = write(directory, "log: {level: info}\n")
        self.drop_in = write(directory, "log: {level: debug}\n", "conf.d/50-local.yaml")
        self.filter = write(directory, "description: x\n", "own.yaml")
        self.fault = ""
        self.tried = 0
        self.files = ConfigFiles(self.main, self._try)
        self.files.follow([self.filter, directory / "absent.local"])
        self.now_s = 1e9

    def _try(self) -> str:
        self.tried += 1
        return self.fault

    def pass_time(self, steps: int = 2) -> None:
        """Let the files be compared."""
        for _ in range(steps):
            self.now_s += STEP_S
            self.files.tick(self.now_s)

    @property
    def metrics(self) -> dict[str, float]:
        return {name.removeprefix("nodewarden_config_"): value for name, _, value in self.files.samples()}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Return files that are in force."""
    return Disk(tmp_path)


def test_what_is_in_force_is_no_news(disk: Disk) -> None:
    """Nothing is said and nothing tried while nothing changes, and also where a file is rewritten as it was."""
    disk.drop_in.write_bytes(disk.drop_in.read_bytes())
    os.utime(disk.main, (1, 1))
    disk.pass_time()
    assert (disk.files.problems(), disk.files.notices(), disk.tried) == ([], [], 0)
    assert disk.metrics == {"last_reload_successful": 1.0, "in_force": 1.0}


def test_files_are_read_once_they_were_touched(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each minute anyway, and always while a change need not show in the time of the directory."""
    read = []

    def names_in(directory: Path) -> list[str] | None:
        read.append(disk.now_s)
        return real(directory)

    real = config_files._names_in
    monkeypatch.setattr(config_files, "_names_in", names_in)
    disk.pass_time(3)
    assert len(read) == 3  # the directory was made just now
    os.utime(disk.drop_in.parent, (1, 1))
    disk.pass_time(1)
    read.clear()
    disk.pass_time(2)
    assert read == []
    disk.pass_time(1)
    assert len(read) == 1
    disk.drop_in.write_text("# edited\n")
    disk.pass_time(1)
    assert len(read) == 2
    monkeypatch.setattr(config_files, "_names_in", lambda _: None)
    os.utime(disk.drop_in.parent, (2, 2))
    disk.pass_time(1)
    assert "(gone)" in disk.files.notices()[0]
    monkeypatch.setattr(config_files, "_names_in", names_in)
    disk.pass_time(1)  # what the system lacked a moment ago
    assert "(gone)" not in disk.files.notices()[0]


def test_an_edit_that_no_time_shows_is_named_within_a_minute(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the same length whose times, number and mode are as before: those of images are all the same."""
    monkeypatch.setattr(config_files, "_stamp", lambda path: (1, 1, 1, 1, 1) if Path(path).exists() else None)
    disk.pass_time(1)
    disk.drop_in.write_text("log: {level: error}\n")
    disk.pass_time(6)
    (notice,) = disk.files.notices()
    assert str(disk.drop_in) in notice


def test_a_shortage_while_all_is_read_again_is_no_edit(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose times and mode are as before counts as unchanged where no descriptor is left to read it."""
    disk.pass_time(1)
    monkeypatch.setattr(config_files, "_digest", lambda _: f"{config_files._UNREADABLE}: too many open files")
    disk.pass_time(14)
    assert (disk.files.problems(), disk.files.notices(), disk.tried) == ([], [], 0)


def test_what_only_a_restart_puts_in_force_is_named(disk: Disk) -> None:
    """What a reload cannot follow is named for as long as it waits: a password of /metrics, for example."""
    disk.files.waiting = ["metrics", "bans.max_bans"]
    disk.pass_time()
    (notice,) = disk.files.notices()
    assert notice == "metrics, bans.max_bans changed: takes effect after `systemctl restart nodewarden`"
    assert disk.metrics == {"last_reload_successful": 1.0, "in_force": 0.0}
    disk.drop_in.write_text("log: {level: error}\n")
    disk.pass_time()
    assert disk.files.notices()[1:] == [notice]


@pytest.mark.parametrize("which", ["main", "drop_in", "filter", "new", "gone"])
def test_an_edit_that_waits_is_named(disk: Disk, which: str) -> None:
    """A file that changed, came or went is named with the time; it is tried once, and is no problem if it is sound."""
    path = disk.main.parent / "conf.d/60-new.yaml" if which == "new" else getattr(disk, which, disk.filter)
    if which == "gone":
        path.unlink()
    else:
        path.write_text("# edited\n")
    disk.pass_time(4)
    (notice,) = disk.files.notices()
    assert "differs from the one in force since 20" in notice
    assert f"{path}{' (gone)' if which == 'gone' else ''}; `nodewarden reload`" in notice
    assert disk.files.problems() == []
    assert disk.tried == 1
    assert disk.metrics == {"last_reload_successful": 1.0, "in_force": 0.0}


def test_a_fault_on_disk_is_a_problem_until_it_is_repaired(disk: Disk) -> None:
    """A filter that broke while its detector runs is said before a restart loses it; undone, it is over."""
    before = disk.filter.read_text()
    disk.fault = "own.yaml:1: not YAML\nand more"
    disk.filter.write_text("[\n")
    disk.pass_time()
    (problem,) = disk.files.problems()
    assert "an older one is in force since 2001-09-0" in problem
    assert f"(changed: {disk.filter}):\nown.yaml:1: not YAML\nand more" in problem
    assert disk.files.notices() == []
    (needed,) = disk.files.part().requirements
    assert (disk.files.part().state, needed.missing) == ("missing", "own.yaml:1: not YAML and 1 more")
    assert disk.metrics == {"last_reload_successful": 0.0, "in_force": 0.0}
    disk.fault = ""
    disk.filter.write_text(before)
    disk.pass_time(1)
    assert (disk.files.problems(), disk.files.part().state) == ([], "ok")


def test_a_daemon_that_rested_tries_out_what_changed_a_while_ago(disk: Disk) -> None:
    """It need not wait for another look; what changed just now has ticks done until it was tried out."""
    disk.fault = "own.yaml:1: not YAML"
    disk.filter.write_text("[\n")
    changed_s = disk.filter.stat().st_ctime
    seen = []
    for now_s in (changed_s + 1.0, changed_s + 6.1):
        disk.files.tick(now_s)
        seen.append((disk.files.has_news, bool(disk.files.problems())))
    disk.files.follow([disk.filter])
    disk.filter.write_text("[[\n")
    disk.files.tick(disk.filter.stat().st_ctime + 12.0)
    seen.append((disk.files.has_news, bool(disk.files.problems())))
    assert seen == [(True, False), (False, True), (False, True)]


def test_a_refused_reload_says_since_when(disk: Disk) -> None:
    """The time is that of the first difference, and a second refusal does not move it; a reload ends it."""
    disk.main.write_text("faulty\n")
    disk.fault = "nodewarden.yaml:1: faulty"
    disk.files.refuse("nodewarden.yaml:1: faulty", disk.now_s)
    (first,) = disk.files.problems()
    disk.pass_time(5)
    disk.files.refuse("nodewarden.yaml:1: faulty", disk.now_s)
    assert disk.files.problems() == [first]
    disk.files.follow([disk.filter])
    assert disk.files.problems() == []


def test_a_fault_that_is_in_force_keeps_reloads_away(disk: Disk) -> None:
    """A daemon that started with a broken jail says why the next reload was refused, although no file changed."""
    disk.fault = "jail.local:1: broken"
    disk.files.refuse(disk.fault, disk.now_s)
    disk.pass_time()
    assert disk.files.problems() == [
        "the configuration in force has faults, so that a reload was refused:\njail.local:1: broken"
    ]
    disk.fault = ""
    disk.filter.write_text("# repaired\n")
    disk.pass_time()
    assert disk.files.problems() == []
    assert "`nodewarden reload`" in disk.files.notices()[0]


def test_what_the_system_lacked_for_a_while_is_over_without_a_reload(disk: Disk) -> None:
    """A reload that failed for want of descriptors leaves no problem behind, nor does a group that is made later."""
    disk.files.refuse("own.yaml cannot be read: Too many open files", disk.now_s)
    assert disk.files.problems() != []
    disk.pass_time(1)
    assert (disk.files.problems(), disk.files.notices(), disk.tried) == ([], [], 1)
    disk.fault = "there is no group x"
    disk.files.refuse(disk.fault, disk.now_s)
    disk.pass_time(3)
    disk.fault = ""
    disk.pass_time(7)
    assert disk.files.problems() == []


def test_a_file_that_could_not_be_read_once_is_read_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of reading is no difference that stays."""

    def fail(path: Path, limit_bytes: int) -> bytes:
        raise OSError(5, "Input/output error")

    disk.main.touch()
    with monkeypatch.context() as patched:
        patched.setattr(config_files, "read_regular", fail)
        disk.pass_time(1)
        assert str(disk.main) in disk.files.notices()[0]
    disk.pass_time(1)
    assert (disk.files.problems(), disk.files.notices()) == ([], [])


def test_a_file_that_is_none_does_not_hang(disk: Disk) -> None:
    """A FIFO or a directory in place of a file is a difference like any other."""
    disk.drop_in.unlink()
    os.mkfifo(disk.drop_in)
    disk.filter.unlink()
    disk.filter.mkdir()
    disk.pass_time()
    assert str(disk.drop_in) in disk.files.notices()[0]
    assert str(disk.filter) in disk.files.notices()[0]
