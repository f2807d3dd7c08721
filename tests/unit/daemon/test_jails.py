"""fail2ban's jails as detectors: what runs, what does not, and what is protected."""

from pathlib import Path

import pytest

from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.failures import DEFAULT_FAILURES, FailuresSettings
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Mode
from monitor.model.logs import LogBlock
from monitor.model.writers import FileWriter
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings

JAILS = """
[DEFAULT]
ignoreip = 127.0.0.1/8 2001:db8:1::/48
bantime = 1h
findtime = 20m
maxretry = 3
backend = auto
filter = %(__name__)s
enabled = false

[app]
enabled = true
logpath = {root}/log/app.log

[forever]
enabled = true
filter = app
bantime = -1
maxretry = 0
backend = systemd

[sshd]
enabled = true
filter = app
logpath = {root}/log/auth.log

[recidive]
enabled = true
filter = app
ignoreip = 198.51.100.7, 203.0.113.9/255.255.255.0 my.example
logpath = {root}/log/app.log

[bad.name]
enabled = true
filter = app
logpath = {root}/log/app.log

[missing]
enabled = true
logpath = {root}/log/app.log

[relative]
enabled = true
filter = app
logpath = app.log

[zone]
enabled = true
filter = app
logpath = {root}/log/app.log
logtimezone = Mars/Phobos

[off]
filter = app
ignoreip = 192.0.2.7
logpath = {root}/log/app.log
"""
FILTER = "[Definition]\nfailregex = ^refused <F-USER>\\S+</F-USER> from <HOST>$\njournalmatch = _COMM=app\n"


OWN = 'description: Our own.\nfailregex: ["^own <HOST>$"]\nfiles: [/var/log/own.log]\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory with a journal and a filter of one's own."""
    (tmp_path / "var/log/journal/0123456789abcdef0123456789abcdef").mkdir(parents=True)
    (tmp_path / "own.yaml").write_text(OWN)
    return tmp_path


@pytest.fixture
def fail2ban(root: Path) -> Path:
    """Return a configuration of fail2ban whose logs are there."""
    directory = root / "fail2ban"
    (directory / "filter.d").mkdir(parents=True)
    (directory / "filter.d/app.conf").write_text(FILTER)
    (directory / "jail.conf").write_text(JAILS.format(root=root))
    (root / "log").mkdir()
    for name in ("app.log", "auth.log"):
        (root / "log" / name).touch()
    return directory


def jails_of(
    directory: Path, root: Path, failures: dict[str, FailuresSettings] | None = None, **more: object
) -> LogFilters:
    """Load fail2ban's jails beside what is configured."""
    detectors = Detectors(from_fail2ban=str(directory), failures=failures or {}, **more)
    return LogFilters(Settings(detectors=detectors), root)


def own(root: Path, **more: object) -> FailuresSettings:
    """Return a section with the filter of one's own."""
    return FailuresSettings(filter=str(root / "own.yaml"), **more)  # type: ignore[arg-type]


def test_jails_become_detectors(fail2ban: Path, root: Path) -> None:
    """With their thresholds, logs and filters; a ban for ever becomes the longest there is."""
    filters = jails_of(fail2ban, root)
    assert list(filters.sections) == ["app", "forever", "sshd", "relative", "zone"]
    jail = filters.sections["app"]
    assert (jail.maxretry, jail.findtime_s, jail.bantime_s, jail.mode) == (3, 1200.0, 3600.0, Mode.ENFORCE)
    assert (filters.sections["forever"].bantime_s, filters.sections["forever"].maxretry) == (365 * 86400.0, 1)
    assert filters.files == {"app": (f"{root}/log/app.log",), "sshd": (f"{root}/log/auth.log",)}
    assert filters.journal == {"forever": (("_COMM=app",),)}
    assert list(filters.definitions) == ["app", "forever", "sshd"]
    matcher = LogMatcher(filters.definitions)
    (event,) = matcher.scan(LogBlock("x", ("app",), b"refused bob from 192.0.2.7\n", 1e9, writer=FileWriter("x", "x")))
    assert (event.user, event.strength) == ("bob", Strength.SPOOFABLE)


def test_jails_prove_only_where_the_operator_says(fail2ban: Path, root: Path) -> None:
    """A jail that is named proves; the others only shun, and a note names them. A name without a jail is noted."""
    filters = jails_of(fail2ban, root, from_fail2ban_proven=("app", "gone"))
    assert [name for name, one in filters.definitions.items() if one.evidence.is_vouched] == ["app"]
    assert any(note.startswith("jail forever, sshd only shuns: ") for note in filters.notes)
    assert any("from_fail2ban_proven: gone is no jail" in note for note in filters.notes)
    block = LogBlock("x", ("app",), b"refused bob from 192.0.2.7\n", 1e9, writer=FileWriter("x", "x"))
    (event,) = LogMatcher(filters.definitions).scan(block)
    assert event.strength is Strength.PROVEN


def test_jails_that_cannot_run_are_named(fail2ban: Path, root: Path) -> None:
    """An odd name, no filter, a place or zone that is none, and a jail that we do ourselves."""
    filters = jails_of(fail2ban, root)
    assert list(filters.faults) == ["bad.name", "missing", "relative", "zone"]
    assert "filter.d/missing.conf" in filters.faults["missing"]
    assert filters.faults["relative"] == "'app.log' is not an absolute path"
    assert "'Mars/Phobos' is not a time zone" in filters.faults["zone"]
    assert filters.files.keys() | filters.journal.keys() == filters.definitions.keys()
    assert "jail recidive is passed over: bans.recidive does what it does" in filters.notes


def test_what_jails_ignore_is_allowed(fail2ban: Path, root: Path) -> None:
    """The ignoreip of all jails and of every enabled one, also of those passed over; in all notations."""
    filters = jails_of(fail2ban, root)
    assert filters.allowlist == [
        AllowEntry(parse_network("127.0.0.0/8"), "ignoreip of fail2ban"),
        AllowEntry(parse_network("2001:db8:1::/48"), "ignoreip of fail2ban"),
        AllowEntry(parse_network("198.51.100.7"), "ignoreip of jail recidive"),
        AllowEntry(parse_network("203.0.113.0/24"), "ignoreip of jail recidive"),
    ]
    advice = "put its addresses into bans.allowlist"
    assert f"jail recidive: ignoreip 'my.example' is no address: {advice}" in filters.notes


def test_what_is_configured_here_wins_over_a_jail(fail2ban: Path, root: Path) -> None:
    """Also to switch a jail off; what wins is said."""
    mine = {"app": own(root, maxretry=7), "sshd": own(root, enabled=False)}
    filters = jails_of(fail2ban, root, mine)
    assert filters.sections["app"].maxretry == 7
    assert "sshd" not in filters.sections
    assert "jail app is passed over: detectors.failures.app is used instead" in filters.notes


def test_the_default_sshd_gives_way_to_a_jail_that_has_a_log(fail2ban: Path, root: Path) -> None:
    """An operator's own sshd jail counts, not a default he never wrote; unless its log is not there at all."""
    filters = jails_of(fail2ban, root, dict(DEFAULT_FAILURES))
    assert filters.files["sshd"] == (f"{root}/log/auth.log",)
    assert filters.sections["sshd"].maxretry == 3
    (root / "log/auth.log").unlink()
    filters = jails_of(fail2ban, root, dict(DEFAULT_FAILURES))
    assert filters.sections["sshd"] == DEFAULT_FAILURES["sshd"]
    assert "jail sshd is passed over: detectors.failures.sshd is used instead" in filters.notes


def test_a_directory_without_fail2ban_is_one_fault(root: Path) -> None:
    """The others go on."""
    filters = jails_of(root / "nothing", root, {"app": own(root)})
    assert list(filters.faults) == ["from_fail2ban"]
    assert list(filters.definitions) == ["app"]


def test_what_is_said_of_many_jails_is_said_once(fail2ban: Path, root: Path) -> None:
    """A note that all jails share names a few of them."""
    notes = [note for note in jails_of(fail2ban, root).notes if "usedns" in note]
    assert notes == ["jail app, forever, sshd and 2 more: names in the log are never resolved (usedns)"]
