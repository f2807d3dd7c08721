"""Suppressions: each has a reason and an end, and none hides that it ended or matches nothing."""

import contextlib
import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.findings import State
from monitor.audit.suppressions import Suppression, read_suppressions, suppress
from monitor.model.errors import ConfigError
from tests.unit.audit.report_support import CHECKS, finding

_GOOD = """
# accepted by the network team
- check: exposed-etcd
  subject: tcp/23*
  reason: "peers: only the load balancer"
  until: 2027-06-30
- {check: redirects, reason: a router, until: 2027-01-01}
"""
_END_S = datetime.datetime(2027, 7, 1, tzinfo=datetime.UTC).timestamp()


def _read(tmp_path: Path, text: str) -> tuple[Suppression, ...]:
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    return read_suppressions(path, CHECKS)


def test_a_file_is_read_with_its_lines(tmp_path: Path) -> None:
    """The day of `until` is the last one."""
    first, second = _read(tmp_path, _GOOD)
    assert (first.check, first.subject, first.until_s, first.line) == ("exposed-etcd", "tcp/23*", _END_S, 3)
    assert first.day == "2027-06-30"
    assert (second.subject, second.reason) == ("*", "a router")
    assert _read(tmp_path, "") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("check: exposed-etcd", "expected a list"),
        ("- exposed-etcd", "expected a mapping"),
        ("- {check: exposed-ectd, reason: a, until: 2027-01-01}", "did you mean exposed-etcd"),
        ("- {check: exposed-etcd, until: 2027-01-01}", "`reason` is missing"),
        ("- {check: exposed-etcd, reason: ' ', until: 2027-01-01}", "expected text"),
        ("- {check: exposed-etcd, reason: a}", "`until` is missing"),
        ("- {check: exposed-etcd, reason: a, until: never}", "is not a day"),
        ("- {check: exposed-etcd, reason: a, until: 2027-02-30}", "is not a day"),
        ("- {check: exposed-etcd, reason: a, until: 2027-01-01, severity: low}", "unknown key"),
        ("- {check: exposed-etcd, reason: a, reason: b, until: 2027-01-01}", "given twice"),
        ("- {check: exposed-etcd, subject: [tcp/1], reason: b, until: 2027-01-01}", "expected text"),
        ("- &a {check: x}\n- *a", "anchors"),
        ("- {check: exposed-etcd, reason: " + "x" * 501 + ", until: 2027-01-01}", "longer than 500"),
        ("\n".join("- {check: exposed-etcd, reason: a, until: 2027-01-01}" for _ in range(1001)), "too many"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    """A suppression that cannot be understood suppresses nothing."""
    with pytest.raises(ConfigError, match=said) as raised:
        _read(tmp_path, text)
    assert "audit.yaml:1:" in str(raised.value) or "audit.yaml:2:" in str(raised.value)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Any text is a list of suppressions or a ConfigError."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, errors="replace")
    with contextlib.suppress(ConfigError):
        read_suppressions(path, CHECKS)


def test_what_is_accepted_is_suppressed_with_the_reason(tmp_path: Path) -> None:
    """Patterns match subjects; what matches none counts; a pass stays a pass."""
    entries = _read(tmp_path, _GOOD)
    found = [finding(), finding(subject="tcp/10250"), finding("redirects", "", State.PASS)]
    result, unused = suppress(found, entries, _END_S - 1)
    assert [one.state for one in result] == [State.SUPPRESSED, State.FAIL, State.PASS]
    assert (result[0].suppressed_for, result[0].suppressed_until_s) == ("peers: only the load balancer", _END_S)
    assert [one.check for one in unused] == ["redirects"]


def test_what_cannot_be_judged_can_be_accepted_and_is_no_pass(tmp_path: Path) -> None:
    """A node whose packets an XDP program handles would never be clean otherwise."""
    (one,), _ = suppress([finding(state=State.UNKNOWN)], _read(tmp_path, _GOOD), _END_S - 1)
    assert one.state is State.SUPPRESSED


def test_after_the_end_it_fails_again_and_says_so(tmp_path: Path) -> None:
    """Nobody has to remember that it was once accepted; of two that match, the later end counts."""
    entries = _read(tmp_path, _GOOD)
    (one,), _ = suppress([finding()], entries, _END_S)
    assert one.state is State.FAIL
    assert "suppressed until 2027-06-30: peers" in one.text
    later = Suppression(check="exposed-etcd", reason="longer", until_s=_END_S + 1)
    (one,), unused = suppress([finding()], [entries[0], later], _END_S)
    assert (one.state, one.suppressed_for, unused) == (State.SUPPRESSED, "longer", [])
