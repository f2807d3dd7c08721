"""What an audit found, for people: what fails first, the gravest first."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from monitor.audit.check import Check
from monitor.audit.findings import Finding, Severity, State
from monitor.audit.formats.texts import accepted, remedy_of, rfc3339, zones_of
from monitor.audit.kube_bench import KubeBench
from monitor.audit.report import Report
from monitor.cli import show
from monitor.cli.audit_run import Run

_COLOURS = {
    Severity.CRITICAL: "red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: None,
    Severity.INFO: None,
}
_WIDTH, _INDENT = 100, 9


def say_report(run: Run, checks: Mapping[str, Check], numbers: Mapping[str, tuple[str, ...]], *, verbose: bool) -> None:
    """Print a report."""
    report = run.report
    _head(report)
    _blindness(report)
    fails = list(report.of(State.FAIL))
    for one in fails:
        _failure(one, checks, numbers)
    _list("could not be judged", report.of(State.UNKNOWN), lambda one: one.text)
    _list("suppressed", report.of(State.SUPPRESSED), lambda one: f"{one.text}; accepted: {accepted(one)}")
    if verbose:
        _list("passed", report.of(State.PASS), lambda one: one.text)
        _open(report)
    if run.bench:
        _bench(run.bench, verbose=verbose)
    if fails:
        show.say()
        show.say(
            "to repair this: `nodewarden audit suggest`; who can reach a port, and why: `nodewarden audit explain PORT`"
        )
    for text in run.unused:
        show.say(f"this suppression matches nothing: {text}", err=True, fg="yellow")


def _head(report: Report) -> None:
    counted = Counter(one.state for one in report.findings)
    show.say(f"{report.node}, {rfc3339(report.time_s)}, {report.took_s:.1f} s", bold=True)
    worst = Counter(one.severity for one in report.of(State.FAIL))
    graded = ", ".join(f"{worst[one]} {one}" for one in sorted(worst, key=lambda one: -one.rank))
    fails = f"{show.findings(counted[State.FAIL])}{f' ({graded})' if graded else ''}"
    rest = (
        f"{counted[State.UNKNOWN]} unknown, {counted[State.SUPPRESSED]} suppressed, {counted[State.PASS]} checks pass"
    )
    grave = worst[Severity.CRITICAL] + worst[Severity.HIGH]
    is_sound = not counted[State.FAIL] and not counted[State.UNKNOWN]
    show.say(f"{fails}, {rest}", fg="red" if grave else "green" if is_sound else "yellow")


def _blindness(report: Report) -> None:
    """Say what the verdicts do not rest on."""
    for part, why in report.lacks.items():
        show.say(f"not known: {part}: {why}", fg="yellow")
    for text in report.blind:
        show.say(f"no verdict is certain: {text}", fg="yellow")
    for text in report.loss:
        show.say(f"not in the copy of the firewall: {text}", fg="yellow")


def _failure(one: Finding, checks: Mapping[str, Check], numbers: Mapping[str, tuple[str, ...]]) -> None:
    show.say()
    show.start_line(f"{one.severity:<{_INDENT}}", _COLOURS[one.severity])
    cis = f"  CIS {', '.join(numbers[one.check])}" if numbers.get(one.check) else ""
    show.say(f"{one.check}  {one.subject}{cis}", bold=True)
    _indented(f"{one.text}{zones_of(one)}")
    if one.rule:
        _indented(f"decided by: {one.rule}")
    if one.location:
        _indented(f"in: {one.location}")
    if remedy := remedy_of(one, checks):
        _indented(f"remedy: {remedy}")


def _indented(text: str) -> None:
    width = show.width(_WIDTH, _INDENT)
    for line in textwrap.wrap(text, width, break_on_hyphens=False, subsequent_indent="  ") or [""]:
        show.say(f"{'':<{_INDENT}}{line}")


def _list(title: str, findings: Iterable[Finding], describe: Callable[[Finding], str]) -> None:
    """Print findings that are no failures, one a line."""
    rows = [(one.check, one.subject, describe(one)) for one in findings]
    if rows:
        show.say()
        show.say(f"{title}:", bold=True)
        show.table(("CHECK", "SUBJECT", "WHY"), rows)


def _open(report: Report) -> None:
    """Print each open port."""
    if report.state.open:
        show.say()
        show.say("open:", bold=True)
        show.table(("FROM", "PORT", "WHAT"), [(*_place(key), what) for key, what in sorted(report.state.open.items())])


def _bench(bench: KubeBench, *, verbose: bool) -> None:
    """Say what kube-bench found: its result is shown, not judged."""
    show.say()
    if bench.problem:
        show.say(f"kube-bench: {bench.path}: {bench.problem}", fg="yellow")
        return
    counted = show.counts({"failed": bench.failed, "warned": bench.warned, "passed": bench.passed})
    text = f"kube-bench ({bench.version or 'unknown version'}, {rfc3339(bench.time_s)}): {counted or 'nothing'}"
    show.say(text, fg="yellow" if bench.failed else None)
    for one in bench.failures if verbose else ():
        show.say(f"  {one.number}  {one.text}")


def _place(key: str) -> tuple[str, str]:
    zone, _, port = key.partition(" ")
    return zone, port
