"""The report for people: what fails first, with rule and remedy, and nothing in it that a terminal obeys."""

import io
import sys

import click
import pytest

from monitor.audit.facts import Facts
from monitor.audit.findings import Finding, RuleRef, State
from monitor.audit.kube_bench import Failure, KubeBench
from monitor.audit.report import Report
from monitor.cli.audit_report import say_report
from monitor.cli.audit_run import Run
from tests.unit.audit.report_support import CHECKS, everything, finding, report
from tests.unit.cli.test_escapes import HOSTILE, is_safe

_BENCH = KubeBench(
    path="/k.json", version="cis-1.12", failed=1, passed=9, failures=(Failure(number="1.1.1", text="x"),)
)


def _said(
    capsys: pytest.CaptureFixture[str], one: Report, *, bench: KubeBench | None = None, verbose: bool = False
) -> str:
    run = Run(report=one, unused=["audit.yaml:3: redirects *"], facts=Facts(), bench=bench)
    say_report(run, CHECKS, {"exposed-etcd": ("2.1",)}, verbose=verbose)
    said = capsys.readouterr()
    return said.out + said.err


def test_a_person_reads_what_fails_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, each failure with its rule, place and remedy, then what is unknown and accepted; the rest with -v."""
    said = _said(capsys, everything(), bench=_BENCH)
    for part in (
        "2 findings (2 critical), 1 unknown, 1 suppressed, 1 checks pass",
        "not known: host: no /proc",
        "no verdict is certain: an XDP program on eth0",
        "critical exposed-etcd  tcp/2379  CIS 2.1",
        "etcd answers (from world, pods)",
        "decided by: ip filter INPUT: tcp dport 2379",
        "in: /etc/kubernetes/manifests/etcd main.yaml",
        "remedy: Close it.",
        "accepted: a router (until 2025-11-29)",
        "kube-bench (cis-1.12, 1970-01-01T00:00:00Z): 1 failed, 9 passed",
        "this suppression matches nothing: audit.yaml:3: redirects *",
    ):
        assert part in said
    assert "nodewarden audit suggest" in said.splitlines()[-1] + said.splitlines()[-2]
    assert said.index("remedy: Close it.") < said.index("could not be judged:") < said.index("suppressed:")
    assert "passed:" not in said
    assert "1.1.1" not in said
    everything_said = _said(capsys, everything(), bench=_BENCH, verbose=True)
    assert "Title of redirects" in everything_said
    assert "1.1.1  x" in everything_said


def test_names_of_rules_and_processes_control_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """All texts come from rules, processes and files that others wrote."""
    rule = RuleRef(family=HOSTILE, table=HOSTILE, chain=HOSTILE, text=HOSTILE)

    def hostile(state: State) -> Finding:
        return finding(
            state=state,
            subject=HOSTILE,
            text=HOSTILE,
            rule=rule,
            location=HOSTILE,
            remedy=HOSTILE,
            suppressed_for=HOSTILE,
        )

    one = report(*map(hostile, State), node=HOSTILE, lacks={HOSTILE: HOSTILE}, blind=(HOSTILE,), loss=(HOSTILE,))
    bench = KubeBench(
        path=HOSTILE, version=HOSTILE[:9], failed=1, failures=(Failure(number=HOSTILE[:9], text=HOSTILE),)
    )
    said = _said(capsys, one, bench=bench, verbose=True)
    assert is_safe(said)
    assert "\\x1b[2J" in said
    assert not any(line.startswith("2026-11-27 INFO") for line in said.splitlines())


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("300", 109), ("10", 49)])
def test_a_finding_fits_the_terminal(columns: str, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines end where a narrow terminal does, and are not longer than one reads in a wide one."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", shown := _Terminal())
    long = finding(text="word " * 100)
    say_report(Run(report=report(long), unused=[], facts=Facts(), bench=None), CHECKS, {}, verbose=False)
    lines = [line for line in click.unstyle(shown.getvalue()).splitlines() if "word" in line]
    assert widest - 6 < max(map(len, lines)) <= widest
