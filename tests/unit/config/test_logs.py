"""The settings of failures detectors: names, filters, places and times, and faults with their place."""

import datetime
from pathlib import Path

import pytest

from monitor.config.types import parse_timezone
from monitor.detectors.failures import DEFAULT_FAILURES, Backend, FailuresSettings
from monitor.detectors.registry import REGISTRATIONS
from monitor.model.bans import FLEET, MANUAL, PREFIX, RECIDIVE, Mode
from monitor.settings.detectors import DETECTOR_NAMES
from monitor.settings.load import load
from monitor.settings.reference import json_schema
from tests.unit.config.support import faults_of, write


def test_sshd_is_there_by_itself(tmp_path: Path) -> None:
    """Without a word of configuration failed logins are banned for, with fail2ban's thresholds."""
    settings = load(write(tmp_path, "")).settings
    assert settings.detectors.failures == DEFAULT_FAILURES == {"sshd": FailuresSettings(filter="sshd")}
    sshd = settings.detectors.failures["sshd"]
    assert (sshd.enabled, sshd.mode, sshd.backend) == (True, Mode.ENFORCE, Backend.AUTO)
    assert (sshd.maxretry, sshd.findtime_s, sshd.bantime_s) == (5, 600.0, 600.0)
    assert settings.sources.journal.enabled
    assert settings.sources.files.max_line_bytes == 8192


def test_a_name_and_a_filter_are_enough(tmp_path: Path) -> None:
    """A new detector has defaults for all else, and a key of sshd can be changed by itself."""
    text = """
detectors:
  confirm_timeout: 50ms
  from_fail2ban: /etc/fail2ban
  failures:
    3proxy: {filter: "/etc/nodewarden/my filter.yaml[mode=strict, port=\\"1,2\\"]"}
    sshd: {maxretry: 1, timezone: Europe/Berlin}
    web:
      filter: nginx-http-auth
      backend: files
      files: ["/var/log/nginx/*error.log"]
sources: {journal: {enabled: no, max_line_bytes: 1KiB}}
"""
    settings = load(write(tmp_path, text)).settings
    detectors = settings.detectors
    assert list(detectors.failures) == ["sshd", "3proxy", "web"]
    assert detectors.failures["sshd"] == FailuresSettings(filter="sshd", maxretry=1, timezone="Europe/Berlin")
    assert detectors.failures["3proxy"].filter == '/etc/nodewarden/my filter.yaml[mode=strict, port="1,2"]'
    assert detectors.failures["web"].files == ("/var/log/nginx/*error.log",)
    assert (detectors.confirm_timeout_s, detectors.from_fail2ban) == (0.05, "/etc/fail2ban")
    assert not settings.sources.journal.enabled
    assert settings.sources.journal.max_line_bytes == 1024


def test_the_names_of_others_are_taken() -> None:
    """No failures detector can be mistaken for another detector, or for one of policy's own words."""
    others = {*(one.name for one in REGISTRATIONS), RECIDIVE, PREFIX, MANUAL, FLEET}
    assert set(DETECTOR_NAMES.reserved) == others


@pytest.mark.parametrize("name", DETECTOR_NAMES.reserved)
def test_a_taken_name_is_a_fault(tmp_path: Path, name: str) -> None:
    """It is named with its place."""
    path = write(tmp_path, f"detectors:\n  failures:\n    {name}: {{filter: sshd}}\n")
    taken = "this name is reserved: bans and metrics use it for something else"
    assert faults_of(path) == [f"nodewarden.yaml:3:5: detectors.failures.{name}: {taken}"]


@pytest.mark.parametrize("name", ["a b", "a.b", "ä", "x" * 33, "a\\n"])
def test_an_odd_name_is_a_fault(tmp_path: Path, name: str) -> None:
    """Names are what labels of metrics and command lines can hold."""
    (fault,) = faults_of(write(tmp_path, f'detectors: {{failures: {{"{name}": {{filter: sshd}}}}}}'))
    assert fault.startswith("nodewarden.yaml:1:24: detectors.failures.")
    assert fault.endswith(": expected a name of 1 to 32 letters, digits, _ and -")


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{}", "1:27: detectors.failures.x.filter: required, but missing"),
        ("{filter: ''}", ".filter: '' is not a filter"),
        ("{filter: relative/x.yaml}", ".filter: 'relative/x.yaml' is not a filter"),
        ("{filter: /etc/filter.d/x}", ".filter: '/etc/filter.d/x' is not a filter"),
        ('{filter: "sshd[mode"}', ".filter: 'sshd[mode' is not a filter"),
        ("{filter: a, backend: systemd}", ".backend: 'systemd' is not one of auto, journal, files"),
        ("{filter: a, files: [log]}", ".files[0]: 'log' is not an absolute path"),
        ("{filter: a, files: /var/log/x}", ".files: expected a list, found '/var/log/x'"),
        ("{filter: a, journalmatch: [sshd]}", ".journalmatch[0]: 'sshd' is not a journal match"),
        ("{filter: a, journalmatch: [_COMM=a +]}", ".journalmatch[0]: '_COMM=a +' is not a journal match"),
        ("{filter: a, journalmatch: [__CURSOR=a]}", ".journalmatch[0]: '__CURSOR=a' is not a journal match"),
        ("{filter: a, journalmatch: ['']}", ".journalmatch[0]: '' is not a journal match"),
        ("{filter: a, timezone: Mars/Phobos}", ".timezone: 'Mars/Phobos' is not a time zone"),
        ("{filter: a, maxretry: 0}", ".maxretry: 0 is out of range: expected 1 to 10000"),
        ("{filter: a, maxretry: 2000, max_entries: 1500}", ".maxretry: 2000 can never be reached"),
        ("{filter: a, backend: journal, files: [/x]}", ".files: never read: backend is journal"),
        ("{filter: a, backend: files, journalmatch: [_COMM=a]}", ".journalmatch: never used: backend is files"),
        ("{filter: a, maxrety: 3}", ".maxrety: unknown key; did you mean maxretry?"),
    ],
)
def test_faults_name_place_and_remedy(tmp_path: Path, section: str, fault: str) -> None:
    """Each way to get a detector wrong gets one clear line."""
    (line,) = faults_of(write(tmp_path, f"detectors: {{failures: {{x: {section}}}}}"))
    assert line.startswith("nodewarden.yaml:1:")
    assert fault in line


@pytest.mark.parametrize("match", ["_COMM=sshd", "_SYSTEMD_UNIT=a.service _UID=0", " A=b  +  C=d E= "])
def test_matches_of_journalctl_are_taken(tmp_path: Path, match: str) -> None:
    """Terms, several terms, and groups of them."""
    path = write(tmp_path, f'detectors: {{failures: {{x: {{filter: a, journalmatch: ["{match}"]}}}}}}')
    assert load(path).settings.detectors.failures["x"].journalmatch == (match,)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("UTC", 0),
        ("GMT", 0),
        ("UTC+02:00", 120),
        ("UTC-0330", -210),
        ("+0545", 345),
        ("GMT+02", 120),
        ("Z", 0),
        ("Asia/Kathmandu", 345),
    ],
)
def test_time_zones_are_names_or_offsets(text: str, minutes: int) -> None:
    """East of Greenwich is positive, as in what people write."""
    offset = datetime.datetime(2026, 1, 1, tzinfo=parse_timezone(text)).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == minutes * 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/etc/localtime",
        "../etc/passwd",
        "Europe",
        "zone.tab",
        "a\0b",
        "UTC+24:00",
        "UTC+2",
        "+",
        "x" * 5000,
        "\udc80",
    ],
)
def test_what_is_no_time_zone_is_a_value_error(text: str) -> None:
    """Paths, directories and nonsense are refused, and nothing else is raised."""
    with pytest.raises(ValueError, match="is not a time zone"):
        parse_timezone(text)


def test_the_json_schema_knows_the_names() -> None:
    """An editor marks names that are taken or odd."""
    names = json_schema()["properties"]["detectors"]["properties"]["failures"]["propertyNames"]
    assert names == {"pattern": "^[A-Za-z0-9_-]{1,32}$", "not": {"enum": list(DETECTOR_NAMES.reserved)}}
