"""`nodewarden fail2ban import`: what it prints is a configuration of our own."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli.config import config_group
from monitor.cli.fail2ban import fail2ban_group
from monitor.cli.fail2ban_files import WriteRefusedError
from monitor.cli.target import Target
from monitor.control.protocol import BanOrder
from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.copies import MARK
from monitor.filters.library import load_filter
from monitor.settings.load import load
from tests.unit.filters.fail2ban.support import write
from tests.unit.filters.fail2ban.test_bans import database

DEMO = "[Definition]\nfailregex = ^bad <HOST>$\n"
JAILS = """[DEFAULT]
enabled = true
ignoreip = 127.0.0.1/8 office.example.org
filter = demo
logpath = /var/log/demo.log
[good]
maxretry = 7
[no-filter]
filter = absent
[od\x1bd]
filter = absent
[off]
enabled = false
"""


def imported(directory: Path) -> tuple[str, str]:
    """Run the command; returns what it prints and what it complains of."""
    command = [sys.executable, "-c", "from monitor.cli.entry import main; main()", "fail2ban", "import"]
    done = subprocess.run([*command, directory.name], cwd=directory.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_output_goes_into_conf_d(tmp_path: Path) -> None:
    """Put beside the main file it is checked as sound, and its detectors run with fail2ban's own filter files."""
    directory = write(tmp_path / "fail2ban", {"filter.d/demo.conf": DEMO, "jail.conf": JAILS})
    text, _ = imported(directory)
    main = tmp_path / "nodewarden.yaml"
    main.write_text("")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/fail2ban.yaml").write_text(text)
    done = CliRunner().invoke(config_group, ["check", "--config", str(main)])
    assert (done.exit_code, "fail2ban.yaml" in done.output) == (0, True), done.output
    failures = load(main).settings.detectors.failures
    assert set(failures) == {"sshd", "good"}
    assert failures["good"].maxretry == 7
    assert load_filter(failures["good"].filter).failregex == ("^bad <HOST>$",)


def test_what_is_left_out_is_said_twice(tmp_path: Path) -> None:
    """Jails that cannot run are comments in the file and lines on standard error, without control characters."""
    text, complaints = imported(write(tmp_path / "f", {"filter.d/demo.conf": DEMO, "jail.conf": JAILS}))
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert any("no-filter" in line and "left out" in line for line in comments)
    assert any("office.example.org" in line for line in comments)
    assert complaints.startswith("nodewarden: jail no-filter is left out: ")
    assert len(complaints.splitlines()) == 2
    assert "\x1b" not in text + complaints


def test_the_package_as_it_is_shipped(tmp_path: Path) -> None:
    """With every jail of fail2ban's own jail.conf switched on, the output is still sound."""
    shipped = Path("build/peers/fail2ban/etc/fail2ban").absolute()
    if not (shipped / "jail.conf").exists():
        pytest.skip("needs fail2ban's files below build/peers (make bench unpacks them)")
    directory = tmp_path / "fail2ban"
    directory.mkdir()
    for path in shipped.iterdir():
        (directory / path.name).symlink_to(path)
    (directory / "jail.local").write_text("[DEFAULT]\nenabled = true\n")
    text, _ = imported(directory)
    path = tmp_path / "nodewarden.yaml"
    path.write_text(text)
    failures = load(path).settings.detectors.failures
    assert len(failures) > 40
    for name, detector in failures.items():
        if name != "sshd":
            load_filter(detector.filter)


def test_nothing_enabled_is_no_error(tmp_path: Path) -> None:
    """The output is a comment, which is a sound configuration too."""
    text, complaints = imported(write(tmp_path / "f", {"jail.conf": "[one]\nfilter = demo\n"}))
    assert complaints == ""
    assert all(line.startswith("#") for line in text.splitlines())
    path = tmp_path / "nodewarden.yaml"
    path.write_text(text)
    assert set(load(path).settings.detectors.failures) == {"sshd"}


@pytest.mark.parametrize("content", [None, b"\x00\xff no ini file", b"[one]\nenabled = true\n["])
def test_unreadable_directories(tmp_path: Path, content: bytes | None) -> None:
    """Without a jail.conf, or with one that is none, there is one clear error and no output."""
    if content is not None:
        (tmp_path / "jail.conf").write_bytes(content)
    with pytest.raises(FilterError, match="jail"):
        CliRunner().invoke(fail2ban_group, ["import", str(tmp_path)], catch_exceptions=False)
    command: list[str | Path] = [
        sys.executable,
        "-c",
        "from monitor.cli.entry import main; main()",
        "fail2ban",
        "import",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)


def test_copies_outlive_fail2ban(tmp_path: Path) -> None:
    """With --to, jails with options of their own run too, and still do when fail2ban's files are gone."""
    common = "[Definition]\n_word = bad\n"
    demo = "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^%(_word)s <HOST>$\n"
    jail = "[good]\nenabled = 1\nfilter = demo\nlogpath = /l\nignoreregex = ^x 'y' \"z\"\n"
    files = {"filter.d/common.conf": common, "filter.d/demo.conf": demo, "jail.conf": jail}
    directory = write(tmp_path / "fail2ban", files)
    own = tmp_path / "nodewarden"
    own.mkdir()
    (own / "nodewarden.yaml").write_text("")
    arguments = ["import", str(directory), "--to", str(own)]
    for _ in range(2):
        done = CliRunner().invoke(fail2ban_group, arguments, catch_exceptions=False)
        assert (done.exit_code, "1 filters" in done.output) == (0, True), done.output
    shutil.rmtree(directory)
    failures = load(own / "nodewarden.yaml").settings.detectors.failures
    assert failures["good"].filter == str(own / "filters/fail2ban/good.yaml")
    found = load_filter(failures["good"].filter)
    assert (found.failregex, found.ignoreregex) == (("^bad <HOST>$",), ("^x 'y' \"z\"",))
    assert found.evidence.doubt


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    """A file of somebody else's stays, and nothing is written; a filter that is no longer used goes."""
    directory = write(tmp_path / "f", {"filter.d/demo.conf": DEMO, "jail.conf": JAILS})
    own = write(tmp_path / "n", {"conf.d/60-fail2ban.yaml": "detectors: {}\n"})
    with pytest.raises(WriteRefusedError, match=r"60-fail2ban\.yaml was not written by an import"):
        CliRunner().invoke(fail2ban_group, ["import", str(directory), "--to", str(own)], catch_exceptions=False)
    assert not (own / "filters").exists()
    (own / "conf.d/60-fail2ban.yaml").unlink()
    write(own, {"filters/fail2ban/gone.yaml": f"{MARK}\n", "filters/fail2ban/mine.yaml": "description: x\n"})
    CliRunner().invoke(fail2ban_group, ["import", str(directory), "--to", str(own)], catch_exceptions=False)
    assert sorted(path.name for path in (own / "filters/fail2ban").iterdir()) == ["good.yaml", "mine.yaml"]


class _Daemon(Target):
    """Takes orders and bans everything but one address."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.verdicts = {"192.0.2.2": "allowlisted"}
        self.orders: list[BanOrder] = []

    def ask(self, request: object) -> list[dict[str, object]]:
        assert isinstance(request, BanOrder)
        self.orders.append(request)
        return [
            {"network": one.network, "done": one.network not in self.verdicts, "text": "t"}
            | {"verdict": self.verdicts.get(one.network, "ban")}
            for one in request.bans
        ]


def test_bans_come_over(tmp_path: Path) -> None:
    """--bans orders what is in force with its remaining time and its jail; --dry-run only lists it."""
    rows = [(f"192.0.2.{number}", "sshd", time.time(), 600) for number in range(1, 4)]
    path = database(tmp_path / "db", *rows, ("192.0.2.9", "sshd", 1, 600))
    daemon = _Daemon()
    done = CliRunner().invoke(fail2ban_group, ["import", "--bans", str(path)], obj=daemon)
    assert (done.exit_code, daemon.orders[0].origin) == (1, "import")
    assert "2 banned, 1 refused, 1 had ended" in done.output
    [first, *_] = daemon.orders[0].bans
    assert (first.network, first.reason, 590 < first.bantime_s <= 600) == ("192.0.2.1", "fail2ban jail sshd", True)
    done = CliRunner().invoke(fail2ban_group, ["import", "--bans", str(path), "--dry-run"], obj=daemon)
    assert (done.exit_code, len(done.output.splitlines()), len(daemon.orders)) == (0, 3, 1)
    assert "192.0.2.1  9m 5" in done.output


def test_bans_that_came_over_before_are_no_failure(tmp_path: Path) -> None:
    """The command can be repeated, as `import` can."""
    daemon = _Daemon()
    daemon.verdicts = {"192.0.2.1": "covered"}
    rows = [(f"192.0.2.{number}", "sshd", time.time(), 600) for number in range(1, 3)]
    command = ["import", "--bans", str(database(tmp_path / "db", *rows))]
    done = CliRunner().invoke(fail2ban_group, command, obj=daemon)
    assert (done.exit_code, done.output) == (0, "1 banned, 1 banned already, 0 refused, 0 had ended\n")


@pytest.mark.parametrize("words", [["--to", "X", "--dry-run"], ["--bans", "--to", "X"], ["--json"], ["--dry-run"]])
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, words: list[str]) -> None:
    """Above all, --dry-run must not write."""
    directory = write(tmp_path / "f", {"filter.d/demo.conf": DEMO, "jail.conf": JAILS})
    target = tmp_path / "n"
    arguments = [str(target) if word == "X" else word for word in words]
    done = CliRunner().invoke(fail2ban_group, ["import", str(directory), *arguments], obj=_Daemon())
    assert (done.exit_code, target.exists()) == (2, False), done.output


def test_what_only_shuns_is_said(tmp_path: Path) -> None:
    """Longer bans, recidive and filters that are vetted here are named, with what to do about them."""
    defaults = "[DEFAULT]\nbantime.increment = 1\nenabled = 1\nlogpath = /l\n"
    jails = f"{defaults}[sshd]\nfilter = sshd\n[recidive]\nfilter = recidive\n"
    filters = {f"filter.d/{name}.conf": DEMO for name in ("sshd", "recidive")}
    text, _ = imported(write(tmp_path / "f", filters | {"jail.conf": jails}))
    assert "# sshd: only shuns; `filter: sshd` is built in and vetted, and can ban\n" in text
    assert text.count("counts proven failures only; imported jails shun") == 2
