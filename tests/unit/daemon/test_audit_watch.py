"""What the daemon makes of the audit's report: numbers, notices, and never "all is well" without one."""

import os
from pathlib import Path

import msgspec
import pytest

from monitor.audit.findings import Severity, State
from monitor.audit.report import Report
from monitor.audit.report_file import write_report
from monitor.audit.settings import AuditSettings
from monitor.cli.audit_line import audit_line
from monitor.daemon.audit.digested import MAX_CHECKS, OTHER
from monitor.daemon.audit.watch import AuditWatch
from monitor.daemon.catalogue import BY_NAME
from tests.unit.audit.report_support import NOW_S, everything, finding, report

_DAY_S = 86400.0


class Site:
    """A report file, its reader, and a clock."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "audit" / "report.json"
        self.now_s = NOW_S + 60.0
        self.watch = AuditWatch(
            AuditSettings(report=self.path), owner=os.geteuid(), wall=lambda: self.now_s, look_s=0.0
        )

    def write(self, report: Report) -> None:
        """Write a report, and have it read."""
        write_report(self.path, report)
        self.watch.tick()

    def problems(self) -> list[str]:
        """Return what is wrong."""
        return [one.text for one in self.watch.problems()]

    def samples(self) -> dict[tuple[str, ...], float]:
        """Return the metrics; each is in the catalogue."""
        found = {(name, *labels): value for name, labels, value in self.watch.samples()}
        assert all(len(key) - 1 == len(BY_NAME[key[0]].labels) for key in found)
        return found

    def need(self) -> str:
        """Return what doctor misses."""
        (part,) = self.watch.parts()
        return part.requirements[0].missing


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return one without a report."""
    return Site(tmp_path)


def test_without_a_report_nothing_is_known(site: Site) -> None:
    """Doctor says that no audit ran; it is no problem of the guard, since an audit is optional."""
    site.watch.tick()
    assert site.problems() == []
    assert "there is no report" in site.need()
    assert site.watch.describe() is None
    assert site.watch.digest() == ""
    assert site.samples() == {("nodewarden_audit_time_seconds",): 0.0, ("nodewarden_audit_unknown",): 0}


def test_a_report_becomes_metrics_notices_and_status(site: Site) -> None:
    """What fails is counted by check and severity, what is grave is named, what could not be judged is said."""
    site.write(everything())
    assert site.samples() == {
        ("nodewarden_audit_time_seconds",): NOW_S,
        ("nodewarden_audit_unknown",): 1,
        ("nodewarden_audit_findings", "exposed-etcd", "critical"): 2,
    }
    notices = list(site.watch.notices())
    assert "audit: exposed-etcd tcp/2379 (critical): etcd answers" in notices
    assert "audit: a part was not judged: host: no /proc" in notices
    described = site.watch.describe()
    assert described is not None
    line, is_grave = audit_line(described)
    assert line == "audit 1m ago: 2 findings (2 critical), 1 not judged, 1 suppressed"
    assert is_grave
    assert site.problems() == []
    assert site.need() == ""
    assert site.watch.digest() == everything().digest()


def test_the_next_report_takes_its_place(site: Site) -> None:
    """What no longer fails has no sample any more."""
    site.write(everything())
    site.write(report(finding("redirects", "", State.PASS), time_s=NOW_S + 30))
    assert ("nodewarden_audit_findings", "exposed-etcd", "critical") not in site.samples()
    described = site.watch.describe()
    assert described is not None
    assert audit_line(described) == ("audit 30s ago: nothing fails", False)


def test_an_old_report_is_a_problem(site: Site) -> None:
    """Audits that do not run look like audits that find nothing."""
    site.write(report())
    site.now_s = NOW_S + 3 * _DAY_S - 1
    assert site.problems() == []
    site.now_s = NOW_S + 3 * _DAY_S + 1
    assert ["last audited on 2025-11-28" in text for text in site.problems()] == [True]
    site.watch.reconfigure(AuditSettings(report=site.path, stale_after_s=0.0))
    assert site.problems() == []


@pytest.mark.parametrize("time_s", [NOW_S + 2 * _DAY_S, 1e308, -1e308])
def test_a_report_of_an_impossible_day_is_a_problem(site: Site, time_s: float) -> None:
    """A report from the future would never be old; one of a day that no calendar has ends nothing."""
    site.write(msgspec.structs.replace(everything(), time_s=time_s))
    site.watch.tick()
    assert ["last audited on" in text for text in site.problems()] == [True]


def test_a_report_that_cannot_be_trusted_is_a_problem_and_no_result(site: Site) -> None:
    """Neither its findings nor their absence are believed."""
    site.write(everything())
    site.path.chmod(0o666)
    site.watch.tick()
    assert ["others than user" in text for text in site.problems()] == [True]
    assert site.watch.digest() == ""
    assert site.samples()[("nodewarden_audit_time_seconds",)] == 0.0
    site.path.write_bytes(b"{")
    site.path.chmod(0o640)
    site.watch.tick()
    assert ["is damaged" in text for text in site.problems()] == [True]
    site.write(report())
    assert site.problems() == []


def test_a_report_that_is_gone_is_a_problem(site: Site) -> None:
    """Removing it does not silence the alert."""
    site.write(everything())
    site.path.unlink()
    site.watch.tick()
    assert ["is gone" in text for text in site.problems()] == [True]


def test_labels_are_bounded(site: Site) -> None:
    """A report with any names makes a bounded number of series."""
    many = [finding(f"check-{number}", "x") for number in range(2 * MAX_CHECKS)]
    site.write(report(*many, finding("Not A Name", "x")))
    checks = {key[1] for key in site.samples() if key[0] == "nodewarden_audit_findings"}
    assert len(checks) == MAX_CHECKS + 1
    assert site.samples()[("nodewarden_audit_findings", OTHER, "critical")] == MAX_CHECKS + 1
    assert len(list(site.watch.notices())) == 4


def test_severities_add_up(site: Site) -> None:
    """Notices are for high and critical ones only."""
    site.write(report(*(finding(subject=str(one), severity=one) for one in Severity)))
    described = site.watch.describe()
    assert described is not None
    assert described["failing"] == dict.fromkeys(("critical", "high", "medium", "low", "info"), 1)
    assert len(list(site.watch.notices())) == 2
