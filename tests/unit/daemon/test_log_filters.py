"""From settings to what is read: which log each detector gets, and what keeps one from running."""

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from monitor.daemon.sources import log_filters
from monitor.daemon.sources.log_alternatives import find_journal
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.detectors.failures import Backend, FailuresSettings, LineEvidence
from monitor.filters.deadline import TooSlow
from monitor.filters.definition import FilterDefinition
from monitor.filters.library import load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.logs import LogBlock
from monitor.model.writers import FileWriter, Grant, Holder, Writer
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings, SourcesSettings
from monitor.sources.journal.match import Matcher
from monitor.sources.journal.settings import JournalSettings
from monitor.sources.tail.settings import FilesSettings
from tests.support.writers import SSHD

APP = """
description: An application of our own.
failregex: ["^\\\\s*refused <F-USER>\\\\S+</F-USER> from <HOST>$"]
journalmatch: ["_SYSTEMD_UNIT=app.service + _COMM=app", "_COMM=other"]
files: [/var/log/app.log]
"""
BARE = 'description: It says nothing of its logs.\nfailregex: ["^refused <HOST>$"]\n'
MATCHES = (("_SYSTEMD_UNIT=app.service", "+", "_COMM=app"), ("_COMM=other",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory with a journal and two filters."""
    (tmp_path / "var/log/journal/0123456789abcdef0123456789abcdef").mkdir(parents=True)
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / "bare.yaml").write_text(BARE)
    return tmp_path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return a root directory without a journal."""
    return tmp_path / "empty"


def filters_of(root: Path, failures: dict[str, FailuresSettings], **sources: object) -> LogFilters:
    """Load these detectors and no others."""
    made = msgspec.structs.replace(SourcesSettings(), **sources)
    return LogFilters(Settings(detectors=Detectors(failures=failures), sources=made), root)


def app(root: Path, **more: object) -> FailuresSettings:
    """Return a section with the filter app."""
    return FailuresSettings(filter=str(root / "app.yaml"), **more)  # type: ignore[arg-type]


def bare(root: Path, **more: object) -> FailuresSettings:
    """Return a section with a filter that names neither files nor matches."""
    return FailuresSettings(filter=str(root / "bare.yaml"), **more)  # type: ignore[arg-type]


def test_a_journal_is_a_directory_of_a_machine(tmp_path: Path) -> None:
    """In memory or on disk; an empty place, or a file in it, is none."""
    assert not find_journal(tmp_path)
    for place in ("run/log/journal", "var/log/journal"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").touch()
        assert not find_journal(tmp_path)
    (tmp_path / "run/log/journal/0123456789abcdef0123456789abcdef").mkdir()
    known = find_journal(tmp_path)
    assert known
    assert find_journal(tmp_path, known) == known
    assert find_journal(tmp_path, f"{known}-gone") == known


def test_auto_reads_files_and_the_journal(root: Path, empty: Path) -> None:
    """Both where there is a journal; otherwise the filter's files."""
    filters = filters_of(root, {"app": app(root)})
    log = ("/var/log/app.log",)
    assert (filters.journal, filters.files, filters.faults) == ({"app": MATCHES}, {"app": log}, {})
    filters = filters_of(empty, {"app": app(root)})
    assert (filters.journal, filters.files, filters.faults) == ({}, {"app": ("/var/log/app.log",)}, {})
    filters = filters_of(root, {"app": app(root)}, journal=JournalSettings(enabled=False))
    assert (filters.journal, filters.files) == ({}, {"app": ("/var/log/app.log",)})


def test_auto_follows_what_the_section_names(root: Path) -> None:
    """Matches of its own mean the journal, files of its own and no matches mean these files."""
    named = ("/srv/*.log",)
    filters = filters_of(
        root,
        {
            "matches": bare(root, journalmatch=("_COMM=a",)),
            "files": app(root, files=named),
            "both": app(root, files=named, journalmatch=("_COMM=a + _COMM=b",)),
            "bare": bare(root, files=named),
        },
    )
    assert filters.journal == {"matches": (("_COMM=a",),), "both": (("_COMM=a", "+", "_COMM=b"),)}
    assert filters.files == {"files": named, "both": named, "bare": named}
    assert filters.faults == {}


def test_a_backend_can_be_chosen(root: Path, empty: Path) -> None:
    """Files although there is a journal; the journal although none is there yet, or without any match."""
    sections = {
        "files": app(root, backend=Backend.FILES),
        "journal": app(root, backend=Backend.JOURNAL),
        "all": bare(root, backend=Backend.JOURNAL),
    }
    for place in (root, empty):
        filters = filters_of(place, sections)
        assert filters.files == {"files": ("/var/log/app.log",)}
        assert filters.journal == {"journal": MATCHES, "all": ()}
        assert filters.notes == ["all reads the whole journal: name what it should read in `journalmatch`"]


def test_what_cannot_run_is_named_and_the_others_go_on(root: Path) -> None:
    """An unknown filter, no log to read, a source that is off: each is a fault of that detector alone."""
    filters = filters_of(
        root,
        {
            "unknown": FailuresSettings(filter="no-such-filter"),
            "missing": FailuresSettings(filter=str(root / "missing.yaml")),
            "nowhere": bare(root),
            "off": app(root, backend=Backend.FILES),
            "app": app(root),
        },
        files=FilesSettings(enabled=False),
    )
    assert list(filters.faults) == ["unknown", "missing", "nowhere", "off"]
    assert "no-such-filter" in filters.faults["unknown"]
    assert str(root / "missing.yaml") in filters.faults["missing"]
    assert "sources.files is off" in filters.faults["nowhere"]
    assert list(filters.definitions) == list(filters.journal) == ["app"]
    assert list(filters.sections) == ["unknown", "missing", "nowhere", "off", "app"]
    (fault,) = filters_of(root, {"nowhere": bare(root)}).faults.values()
    assert "name them in `files`" in fault
    (fault,) = filters_of(
        root, {"app": app(root, backend=Backend.JOURNAL)}, journal=JournalSettings(enabled=False)
    ).faults.values()
    assert "sources.journal is off" in fault


def test_a_filters_bad_match_is_its_own_fault(root: Path) -> None:
    """What the journal cannot be asked for costs only the detector whose filter wants it."""
    (root / "bad.yaml").write_text(APP.replace("_COMM=other", "nonsense"))
    filters = filters_of(root, {"bad": FailuresSettings(filter=str(root / "bad.yaml")), "app": app(root)})
    assert "nonsense" in filters.faults["bad"]
    assert list(filters.journal) == ["app"]
    assert Matcher(filters.journal).groups


def test_what_is_switched_off_is_not_even_loaded(root: Path) -> None:
    """A detector with `enabled: false` has no filter, no thresholds and no fault."""
    filters = filters_of(root, {"off": FailuresSettings(filter="no-such-filter", enabled=False)})
    assert (filters.sections, filters.definitions, filters.faults) == ({}, {}, {})


def test_the_matcher_takes_what_comes_out(root: Path) -> None:
    """Definitions, time zones and times are what the matcher is made of: a line of the section's zone is found."""
    filters = filters_of(root, {"app": app(root, timezone="UTC-05:00", findtime_s=60.0), "bare": bare(root)})
    assert filters.timezones == {"app": datetime.timezone(datetime.timedelta(hours=-5))}
    assert filters.findtimes_s == {"app": 60.0, "bare": 600.0}
    matcher = LogMatcher(filters.definitions, timezones=filters.timezones, findtimes_s=filters.findtimes_s)
    assert matcher.faults == {}
    now_s = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=ZoneInfo("UTC")).timestamp()
    line = b"2026-03-01 06:59:30 refused bob from 192.0.2.7\n"
    (event,) = matcher.scan(LogBlock("/var/log/app.log", ("app",), line, now_s, is_live=False))
    assert (event.detector, event.user, event.time_s) == ("app", "bob", now_s - 30)


def test_what_only_shuns_is_noted(root: Path, empty: Path) -> None:
    """A vetted filter that only reads what syslog writes: a note says why, and what can be changed."""
    (note,) = filters_of(empty, {"sshd": FailuresSettings(filter="sshd")}).notes
    assert note.startswith("sshd only shuns: /var/log/auth.log is no file that only the application writes; ")
    assert "detectors.failures.sshd.evidence: proven" in note
    assert filters_of(root, {"sshd": FailuresSettings(filter="sshd")}).notes == []


@pytest.mark.parametrize("evidence", LineEvidence)
def test_the_operator_decides_on_evidence(root: Path, evidence: LineEvidence) -> None:
    """`auto` is what the filter says, `proven` vouches for it, `spoofable` never proves."""
    filters = filters_of(root, {"sshd": FailuresSettings(filter="sshd", evidence=evidence)})
    rule = filters.definitions["sshd"].evidence
    assert rule.is_vouched is (evidence is LineEvidence.PROVEN)
    assert (rule.writers is not None) is (evidence is LineEvidence.AUTO)
    (row,) = LogScan(filters, 0.1).describe()
    reason = "the configuration says `evidence: spoofable`"
    assert row["evidence"] == (f"shuns only: {reason}" if evidence is LineEvidence.SPOOFABLE else "proven")


def test_status_says_what_the_lines_prove(root: Path) -> None:
    """Who may write the file counts as soon as it was read; of the journal, what the last failure was about."""
    log = "/var/log/nginx/access.log"
    sections = {"web": FailuresSettings(filter="nginx-scan", files=(log,)), "sshd": FailuresSettings(filter="sshd")}
    scan = LogScan(filters_of(root, sections), 0.1)

    def shown() -> list[str]:
        return [row["evidence"] for row in scan.describe()]

    def read(log: str, detector: str, line: str, writer: Writer) -> None:
        times_s = (1e9,) if detector == "sshd" else ()
        begun = scan.begin(LogBlock(log, (detector,), line.encode() + b"\n", 1e9, times_s, writer=writer))
        assert begun
        begun.run()

    assert shown() == ["proven", "proven"]
    read(log, "web", "x", FileWriter(log, log, (Grant(Holder.ACCOUNT, 33),)))
    failed = "h sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2"
    read("journal", "sshd", failed, msgspec.structs.replace(SSHD, executable=""))
    assert shown() == ["shuns only: account 33 may write it", "shuns only: an unknown program wrote it"]
    read(log, "web", "x", FileWriter(log, log))
    read("journal", "sshd", failed, SSHD)
    assert shown() == ["proven", "proven, except 1 of 2 failures: an unknown program wrote it"]


def test_the_default_configuration_runs_here() -> None:
    """The shipped sshd has a filter that loads, and reads the journal or files, whichever there are."""
    filters = LogFilters(Settings())
    assert filters.faults == {}
    assert list(filters.definitions) == ["sshd"]
    assert list(filters.journal or filters.files) == ["sshd"]


def test_a_filter_of_many_detectors_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload with thousands of detectors takes seconds; one that takes too long costs its time once, too."""
    read: list[str] = []

    def counting(reference: str, *, logtype: str = "file") -> FilterDefinition:
        read.append(reference)
        if reference == "slow":
            raise TooSlow
        return load_filter(reference, logtype=logtype)

    monkeypatch.setattr(log_filters, "load_filter", counting)
    failures = {f"web{number}": app(root) for number in range(50)}
    failures |= {f"slow{number}": FailuresSettings(filter="slow", files=("/x",)) for number in range(3)}
    found = filters_of(root, failures)
    assert read == [str(root / "app.yaml"), "slow"]
    assert len(found.definitions) == 50
    assert {name: "takes longer than" in fault for name, fault in found.faults.items()} == {
        f"slow{number}": True for number in range(3)
    }
