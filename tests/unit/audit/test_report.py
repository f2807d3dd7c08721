"""The report: order, bounds, digest; and its file, which only root may have written."""

import contextlib
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.baseline import Baseline
from monitor.audit.findings import Severity, State
from monitor.audit.report import MAX_BY_CHECK, MORE, Report, Result, arrange
from monitor.audit.report_file import ReportError, previous_path, read_report, write_report
from monitor.cli.audit import exit_code_of
from tests.unit.audit.report_support import NOW_S, everything, finding, report


def test_what_fails_comes_first_and_the_gravest_of_it() -> None:
    """An operator reads from the top."""
    states = [one.state for one in everything().findings]
    assert states == [State.FAIL, State.FAIL, State.UNKNOWN, State.SUPPRESSED, State.PASS]


def test_findings_beyond_the_bound_are_one_that_counts_them() -> None:
    """A ruleset with ten thousand bad rules neither fills the disk nor hides that they are there."""
    many = [finding(subject=f"tcp/{port}") for port in range(MAX_BY_CHECK + 40)]
    (more,) = [one for one in arrange(many) if one.subject == MORE]
    assert len(arrange(many)) == MAX_BY_CHECK + 1
    assert (more.state, more.severity) == (State.FAIL, Severity.CRITICAL)
    assert "40 more findings" in more.text


def test_the_digest_is_that_of_what_was_found() -> None:
    """Neither times nor words change it; what fails, what is unknown and what is accepted do."""
    one = report(finding(), finding("redirects", "x", State.PASS))
    assert one.digest() == report(finding(text="other words"), time_s=NOW_S + 9, node="node2").digest()
    assert one.digest() != report(finding(subject="tcp/2380")).digest()
    assert len({report(finding(state=state)).digest() for state in State}) == len(State)


def test_the_exit_code_says_what_fails_and_what_is_unknown() -> None:
    """Without --exit-code a complete audit is a success; a part that is lacking never is."""
    failing, unknown = report(finding(severity=Severity.LOW)), report(finding(state=State.UNKNOWN))
    assert exit_code_of(failing, 0, Severity.INFO) == 0
    assert exit_code_of(failing, 7, Severity.LOW) == 7
    assert exit_code_of(failing, 7, Severity.MEDIUM) == 0
    assert exit_code_of(unknown, 7, Severity.MEDIUM) == 7
    assert exit_code_of(report(finding(state=State.SUPPRESSED)), 7, Severity.INFO) == 0
    assert exit_code_of(report(lacks={"ruleset": "no nft"}), 0, Severity.INFO) == 1


def test_the_file_is_read_as_it_was_written_and_the_one_before_is_kept(tmp_path: Path) -> None:
    """The daemon reads the result without the state."""
    path = tmp_path / "audit" / "report.json"
    write_report(path, report())
    write_report(path, everything())
    me = os.geteuid()
    assert read_report(path, Report, me) == everything()
    assert read_report(path, Result, me).findings == everything().findings
    assert read_report(previous_path(path), Report, me) == report()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """It could hide what is open."""
    path, me = tmp_path / "report.json", os.geteuid()
    write_report(path, report())
    path.chmod(0o660)
    with pytest.raises(ReportError, match="others than user"):
        read_report(path, Result, me)
    path.chmod(0o640)
    with pytest.raises(ReportError, match="others than user"):
        read_report(path, Result, me + 1)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(ReportError):
        read_report(link, Result, me)
    os.mkfifo(fifo := tmp_path / "fifo", 0o640)
    with pytest.raises(ReportError, match="regular file"):
        read_report(fifo, Result, me)
    with pytest.raises(FileNotFoundError):
        read_report(tmp_path / "none", Result, me)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"[]", "damaged"),
        (b'{"version": 2}', "version 2"),
        (b'{"findings": [{"check": "x"}]}', "damaged"),
        (b'{"node": "\xff"}', "damaged"),
        (b'{"state": ' + b"[" * 100_000, "damaged"),
        (b'{"node": "' + b"x" * 300 + b'"}', "damaged"),
    ],
)
def test_a_damaged_file_is_an_error_for_people(tmp_path: Path, content: bytes, said: str) -> None:
    """Nothing else is raised."""
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=said):
        read_report(path, Result, os.geteuid())


@given(st.binary(max_size=64), st.integers(0, 2000))
def test_no_content_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int) -> None:
    """Mutated reports are read or refused."""
    content = bytearray(msgspec.json.encode(everything()))
    content[at : at + len(junk)] = junk
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    path.write_bytes(content)
    path.chmod(0o640)
    with contextlib.suppress(ReportError):
        read_report(path, Report, os.geteuid())


def test_a_state_that_is_too_large_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The findings are what matters."""
    monkeypatch.setattr("monitor.audit.report_file.MAX_BYTES", 8000)
    large = report(finding(), state=Baseline(open={f"world tcp/{port}": "x" for port in range(2000)}))
    write_report(path := tmp_path / "report.json", large)
    kept = read_report(path, Report, os.geteuid())
    assert (kept.findings, kept.state) == (large.findings, Baseline())
