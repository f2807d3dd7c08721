"""`nodewarden fail2ban import`: what it prints is a configuration of our own."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli.config import config_group
from monitor.cli.fail2ban import fail2ban_group
from monitor.filters.definition import FilterError
from monitor.filters.library import load_filter
from monitor.settings.load import load
from tests.unit.filters.fail2ban.support import write

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
    command = [sys.executable, "-c", "from monitor.cli.main import main; main()", "fail2ban", "import"]
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
    assert (text, complaints) == ("# Translated from fail2ban's configuration.\n", "")
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
        "from monitor.cli.main import main; main()",
        "fail2ban",
        "import",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
