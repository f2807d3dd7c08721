"""Who wins where a name is configured more than once, whether it bans, and where `status` says it comes from."""

from pathlib import Path

import pytest

from monitor.daemon.pipeline.wiring import build_rules
from monitor.daemon.sources.detector_origins import detector_origins
from monitor.daemon.sources.log_filters import LogFilters
from monitor.model.bans import Mode
from monitor.settings.load import load
from tests.unit.config.support import write

ROOT = Path(__file__).parents[3]
_JAILS = """\
[DEFAULT]
filter = app
logpath = {log}
[sshd]
enabled = true
maxretry = 7
[web]
enabled = true
maxretry = 8
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """Return the main file of a new installation with fail2ban's jails `sshd` and `web`, whose log is there."""
    write(tmp_path, (ROOT / "systemd/nodewarden.yaml").read_bytes())
    write(tmp_path, f"detectors: {{from_fail2ban: {tmp_path}/fail2ban}}\n", "conf.d/60-fail2ban.yaml")
    write(tmp_path, "[Definition]\nfailregex = ^refused <HOST>$\n", "fail2ban/filter.d/app.conf")
    write(tmp_path, _JAILS.format(log=write(tmp_path, "", "app.log")), "fail2ban/jail.conf")
    return tmp_path / "nodewarden.yaml"


def running(main: Path) -> dict[str, tuple[Mode, int, str]]:
    """Return mode, maxretry and origin of the detectors of logs."""
    loaded = load(main)
    filters = LogFilters(loaded.settings, main.parent)
    assert filters.faults == {}
    origins, rules = detector_origins(loaded, filters), build_rules(loaded.settings, filters.sections)
    assert rules.detectors.keys() <= origins.keys()
    return {
        name: (rules.detectors[name].mode, section.maxretry, origins[name].replace(f"{main.parent}/", ""))
        for name, section in filters.sections.items()
    }


def test_a_jail_beats_the_shipped_section(main: Path) -> None:
    """The section that every installation has is nobody's choice; the jail is."""
    assert running(main) == {
        "sshd": (Mode.ENFORCE, 7, "fail2ban jail (fail2ban/jail.conf:5)"),
        "web": (Mode.ENFORCE, 8, "fail2ban jail (fail2ban/jail.conf:8)"),
    }


def test_a_new_installation_observes_all_jails(main: Path) -> None:
    """The one switch holds for the shipped detectors, for jails and for sections of one's own."""
    write(main.parent, (ROOT / "systemd/observe.yaml").read_bytes(), "conf.d/10-observe.yaml")
    write(main.parent, "detectors: {failures: {own: {filter: sshd, mode: enforce}}}\n", "conf.d/50-local.yaml")
    assert {mode for mode, _, _ in running(main).values()} == {Mode.OBSERVE}
    settings = load(main).settings
    assert {policy.mode for policy in build_rules(settings).detectors.values()} == {Mode.OBSERVE}
    write(main.parent, "mode: enforce\n", "conf.d/50-local.yaml")
    assert {mode for mode, _, _ in running(main).values()} == {Mode.ENFORCE}


def test_a_mode_alone_holds_for_the_jail(main: Path) -> None:
    """What an older installation has in 10-observe.yaml keeps the jail from banning, and not from running."""
    write(main.parent, "detectors: {failures: {sshd: {mode: observe}}}\n", "conf.d/10-observe.yaml")
    assert running(main)["sshd"][:2] == (Mode.OBSERVE, 7)
    assert running(main)["web"][0] is Mode.ENFORCE


def test_a_section_of_ones_own_beats_the_jail(main: Path) -> None:
    """One that differs from the default in more than its mode is the operator's; `status` names its file and line."""
    write(main.parent, "detectors:\n  failures:\n    sshd: {maxretry: 9}\n", "conf.d/50-local.yaml")
    write(main.parent, "detectors:\n  failures:\n    web:\n      filter: sshd\n", "conf.d/55-web.yaml")
    found = running(main)
    assert found["sshd"] == (Mode.ENFORCE, 9, "conf.d/50-local.yaml:3")
    assert found["web"] == (Mode.ENFORCE, 5, "conf.d/55-web.yaml:4")


def test_a_jail_that_cannot_run_leaves_the_shipped_section(main: Path) -> None:
    """A jail without its log does not switch the detection of failed logins off."""
    (main.parent / "app.log").unlink()
    assert running(main)["sshd"] == (Mode.ENFORCE, 5, "defaults")


def test_detectors_of_packets_have_origins(main: Path) -> None:
    """A detector says `defaults`, or the place of the value that makes it differ from them."""
    write(main.parent, "detectors:\n  port_scan: {maxretry: 9}\n  host_sweep: {maxretry: 10}\n", "conf.d/50-local.yaml")
    loaded = load(main)
    origins = detector_origins(loaded, LogFilters(loaded.settings))
    assert origins["port_scan"] == f"{main.parent}/conf.d/50-local.yaml:2"
    assert origins["host_sweep"] == "defaults"
