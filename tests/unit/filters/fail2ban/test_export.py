"""The export: what is written is a configuration that the project itself accepts and that says the same."""

import contextlib
import tempfile
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.detectors.failures import FailuresSettings
from monitor.detectors.network_rules import MAX_NETWORKS
from monitor.filters.definition import FilterDefinition
from monitor.filters.fail2ban.copies import filter_yaml
from monitor.filters.fail2ban.export import RECIDIVE_LIMITS, to_yaml
from monitor.filters.fail2ban.jails import LONGEST_BAN_S
from monitor.filters.fail2ban.spoofable import IMPORTED
from monitor.filters.library import load_filter
from monitor.model.addresses import parse_network
from monitor.model.errors import ConfigError
from monitor.settings.bans import Increment, Recidive
from monitor.settings.detectors import DETECTOR_NAMES
from monitor.settings.load import load
from tests.unit.filters.fail2ban.support import jails_of


def exported(directory: Path, jail_conf: str) -> tuple[str, dict[str, FailuresSettings]]:
    """Export a jail.conf; returns the text, and the detectors that our own configuration makes of it."""
    text = to_yaml(jails_of(directory, {"jail.conf": jail_conf}), DETECTOR_NAMES.reserved)
    path = directory / "nodewarden.yaml"
    path.write_text(text)
    detectors = load(path).settings.detectors.failures
    return text, {name: detector for name, detector in detectors.items() if name != "sshd"}


def test_a_jail_becomes_a_detector(tmp_path: Path) -> None:
    """Every setting of a jail is a setting of the detector, and the filter named there is the jail's."""
    text, found = exported(
        tmp_path,
        "[DEFAULT]\nignoreip = 127.0.0.1/8 ::1 10.1.2.3/8\n[web]\nenabled = true\nfilter = demo[mode=aggressive]\n"
        "logpath = /var/log/a*.log\n  /var/log/b tail\nmaxretry = 4\nfindtime = 90\nbantime = 2w\nlogtimezone = CEST\n"
        "usedns = no\n",
    )
    assert found == {
        "web": FailuresSettings(
            filter=f"{tmp_path}/filter.d/demo.conf[mode=aggressive]",
            files=("/var/log/a*.log", "/var/log/b"),
            journalmatch=("_COMM=demo",),
            timezone="UTC+02:00",
            maxretry=4,
            findtime_s=90.0,
            bantime_s=1_209_600.0,
        )
    }
    assert load_filter(found["web"].filter).failregex == ("^bad <HOST>$", "^very bad <HOST>$")
    assert yaml.safe_load(text)["bans"]["allowlist"] == ["127.0.0.0/8", "::1", "10.0.0.0/8"]
    assert load(tmp_path / "nodewarden.yaml").settings.bans.allowlist[1] == parse_network("::1")
    assert "backend: auto\n      files: [/var/log/a*.log, /var/log/b]\n" in text


def test_places_follow_the_backend(tmp_path: Path) -> None:
    """The journal is read without files, files without a journalmatch."""
    _, found = exported(
        tmp_path,
        "[DEFAULT]\nenabled = true\nfilter = demo\nlogpath = /l\n[one]\nbackend = systemd\n[two]\nbackend = polling\n",
    )
    assert (found["one"].files, found["one"].journalmatch) == ((), ("_COMM=demo",))
    assert (found["two"].files, found["two"].journalmatch) == (("/l",), ())


def test_what_is_lost_is_a_comment(tmp_path: Path) -> None:
    """Faults, notes, own expressions, names in ignoreip and relative paths each leave a line; equal ones are one."""
    text, found = exported(
        tmp_path,
        "[DEFAULT]\nenabled = true\nfilter = demo\nlogpath = /l\nignoreip = ::1 gw.example\n[one]\n[two]\n"
        "failregex = ^x <HOST>\n[three]\nfilter = gone\n[four]\nlogpath = rel\nignoreip = ::1 192.0.2.1\n"
        "bantime = 3y\nfindtime = 2w\nmaxretry = 20000\nlogtimezone = Mars\n[unknown]\nenabled = %(gone)s\n",
    )
    assert {name: jail.allowlist for name, jail in found.items()} == {
        "one": (),
        "two": (),
        "four": (parse_network("192.0.2.1"),),
    }
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in comments if "never resolved" in line] == [
        "# one, two, four: names in the log are never resolved (usedns)"
    ]
    for jail, words in (
        ("two", "own failregex"),
        ("three", "left out: .*gone"),
        ("four", "without an absolute path"),
        ("four", "365 days"),
        ("four", "findtime is reduced"),
        ("four", "maxretry is reduced"),
        ("four", "logtimezone Mars"),
        ("fail2ban", "gw.example"),
        ("fail2ban", "jail.conf"),
    ):
        wanted = words.split(".*")
        assert any(line.startswith(f"# {jail}: ") and all(word in line for word in wanted) for line in comments), words


def test_a_jail_s_own_allowlist_is_never_too_long_to_load(tmp_path: Path) -> None:
    """A file with more networks than a detector may have costs the rest of them, and not all jails."""
    addresses = " ".join(f"10.{number >> 8}.{number & 255}.1" for number in range(5000))
    text, found = exported(tmp_path, f"[a]\nenabled = true\nfilter = demo\nlogpath = /l\nignoreip = {addresses}\n")
    assert len(found["a"].allowlist) == MAX_NETWORKS
    assert "# a: its ignoreip has 5000 networks" in text


def test_names_that_a_detector_cannot_have(tmp_path: Path) -> None:
    """Odd, long and reserved names are changed, stay distinct, and a comment says so."""
    names = ["a b", "a:b", "x" * 40, "x" * 41, "recidive", "port_scan"]
    sections = "".join(f"[{name}]\n" for name in names)
    text, found = exported(tmp_path, f"[DEFAULT]\nenabled = true\nfilter = demo\nlogpath = /l\n{sections}")
    assert list(found) == ["a-b", "a-b-2", "x" * 32, "x" * 30 + "-2", "recidive-2", "port_scan-2"]
    assert text.count(": renamed to ") == len(names)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Nothing in a jail breaks out of its comment or its value."""
    text, found = exported(
        tmp_path,
        "[DEFAULT]\nenabled = true\nfilter = demo\n[a]\nlogpath = /l: [x, # y\n  /m'\"&\n  /\x1b[31m\n"
        "[b]\nlogpath = /l\naction = x\n   \x85bans:\n   evil\u2028detectors: {}\n",
    )
    assert found["a"].files == ("/l: [x, # y", "/m'\"&")
    assert set(yaml.safe_load(text)) == {"detectors"}
    assert set(found) == {"a", "b"}


def test_nothing_to_export(tmp_path: Path) -> None:
    """Without an enabled jail there are only comments."""
    text, found = exported(tmp_path, "[a]\nenabled = false\n")
    assert found == {}
    assert yaml.safe_load(text) is None


def test_recidive_and_longer_bans(tmp_path: Path) -> None:
    """The jail recidive is `bans.recidive`, `bantime.increment` is `bans.increment`, both within our limits."""
    (tmp_path / "filter.d").mkdir()
    (tmp_path / "filter.d/recidive.conf").write_text("[Definition]\nfailregex = Ban <HOST>$\n")
    text, found = exported(
        tmp_path,
        "[DEFAULT]\nbantime.increment = true\nbantime.factor = 2\nbantime.maxtime = 9w\n[recidive]\nenabled = true\n"
        "logpath = /l\nfilter = recidive\nmaxretry = 1\nfindtime = 9w\nbantime = -1\n",
    )
    assert found == {}
    bans = load(tmp_path / "nodewarden.yaml").settings.bans
    assert bans.recidive == Recidive(maxretry=2, findtime_s=4 * 604_800.0, bantime_s=LONGEST_BAN_S)
    assert bans.increment == Increment(factor=2.0, maxtime_s=9 * 604_800.0)
    assert "maxretry is changed to 2, our limit" in text
    assert "left out" not in text
    for name, limits in RECIDIVE_LIMITS.items():
        for value, is_allowed in ((limits[0], True), (limits[1], True), (limits[0] / 2, False), (limits[1] * 2, False)):
            written = int(value) if name == "maxretry" else f"{int(value)}s"
            (tmp_path / "n.yaml").write_text(f"bans: {{recidive: {{{name}: {written}}}}}")
            with contextlib.nullcontext() if is_allowed else pytest.raises(ConfigError):
                load(tmp_path / "n.yaml")


def test_a_jail_whose_logs_do_not_exist(tmp_path: Path) -> None:
    """With `skip_if_nologs` it is there but off, so that nobody is told that its logs are missing."""
    (tmp_path / "log").write_text("")
    text, found = exported(
        tmp_path,
        f"[DEFAULT]\nenabled = true\nfilter = demo\nskip_if_nologs = true\n[one]\nlogpath = {tmp_path}/l*\n"
        f"[two]\nlogpath = {tmp_path}/x*\n",
    )
    assert {name: detector.enabled for name, detector in found.items()} == {"one": True, "two": False}
    assert "two: is off, since none of its logs exists (skip_if_nologs)" in text


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@example(["\x85", "\u2028 \u2029"], ["\x1b'\"\\"], "\x7f", "\x85\n%Y", 2)
@given(
    st.lists(_TEXTS, min_size=1, max_size=4),
    st.lists(_TEXTS, max_size=2),
    st.just("") | _TEXTS,
    st.lists(_TEXTS, max_size=3).map("\n".join),
    st.integers(1, 100),
)
def test_copies_are_the_same_filter(fail: list[str], ignore: list[str], prefix: str, dates: str, lines: int) -> None:
    """Whatever the expressions hold, the copy in our notation is read as the same filter."""
    definition = FilterDefinition(
        name="f",
        failregex=tuple(fail),
        ignoreregex=tuple(ignore),
        prefregex=prefix,
        datepattern=dates,
        maxlines=lines,
        journalmatch=(("_COMM=a", "+", "B=c"),),
        evidence=IMPORTED,
        origin="/x/\x1b.conf",
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "f.yaml"
        path.write_text(filter_yaml(definition))
        found = load_filter(str(path))
    assert msgspec.structs.replace(found, origin=definition.origin) == definition
