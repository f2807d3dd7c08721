"""`nodewarden audit suggest`: what it prints for people, for a file, and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.audit.facts import Facts
from monitor.audit.findings import Finding, Severity, State, Zone
from monitor.audit.report import Report
from monitor.audit.suggest.suggestion import Neighbourhood
from monitor.cli import audit_suggest
from monitor.cli.audit_run import Run
from monitor.cli.target import Target
from monitor.model.addresses import parse_network
from tests.unit.cli.test_escapes import HOSTILE, is_safe


def _finding(check: str, subject: str, state: State = State.FAIL, **more: Any) -> Finding:
    return Finding(check=check, subject=subject, state=state, severity=Severity.HIGH, text="x", **more)


_FOUND = (
    _finding("exposed-etcd", "tcp/2379", zones=(Zone.WORLD,)),
    _finding("exposed-etcd", HOSTILE, remedy=HOSTILE),
    _finding("egress-open", "egress.approved"),
    _finding("ipv6-open", "", State.UNKNOWN),
)


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[Finding, ...], *words: str) -> Result:
    run = Run(report=Report(findings=found), unused=[], bench=None, facts=Facts())
    networks = Neighbourhood(uplink=(parse_network("192.0.2.0/24"),), lack=HOSTILE)
    monkeypatch.setattr(audit_suggest, "must_be_root", lambda: None)
    monkeypatch.setattr(audit_suggest, "run_audit", lambda *_: run)
    monkeypatch.setattr(audit_suggest, "read_neighbourhood", lambda: networks)
    monkeypatch.setattr(audit_suggest, "load", lambda _: pytest.fail("no configuration is there"))
    monkeypatch.setattr(audit_suggest, "DEFAULT_PATH", tmp_path / "missing.yaml")
    arguments = ["--config", str(tmp_path / "missing.yaml"), *words]
    done = CliRunner().invoke(audit_suggest.suggest, arguments, obj=Target(tmp_path / "socket"))
    assert done.exit_code == 0, done.output
    return done


def test_it_prints_changes_with_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, the way back, and a sentence where nothing can be written down; what others wrote is escaped."""
    output = _run(tmp_path, monkeypatch, _FOUND).output
    assert is_safe(output)
    assert "exposed-etcd (high): tcp/2379" in output
    assert 'ip saddr != { 192.0.2.0/24 } tcp dport { 2379 } counter drop comment "exposed-etcd"' in output
    assert "the recorded history proposes none" in output
    assert "nft delete table inet audit_closed) & nft -f FILE" in output
    assert "note: nothing is suggested for what could not be judged (1)" in output


def test_a_file_for_nft_has_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but rules is a comment, whatever the networks' reader said."""
    lines = _run(tmp_path, monkeypatch, _FOUND[:2], "--only", "nft").output.splitlines()
    code = [line for line in lines if not line.lstrip().startswith("#")]
    assert code[0] == "table inet audit_closed {"
    assert code[-1] == "}"
    assert is_safe("\n".join(lines))


def test_json_has_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object for each suggestion."""
    made = json.loads(_run(tmp_path, monkeypatch, _FOUND[:1], "--json").output)
    assert [(one["check"], one["subjects"], one["form"]) for one in made] == [("exposed-etcd", ["tcp/2379"], "nft")]


def test_no_finding_needs_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said in words."""
    assert _run(tmp_path, monkeypatch, ()).output == "nothing to suggest: no check fails\n"


def test_nothing_to_repair_is_not_said_where_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be judged is no pass."""
    output = _run(tmp_path, monkeypatch, _FOUND[3:]).output
    assert "no check fails" not in output
    assert "note: nothing is suggested for what could not be judged (1)" in output
