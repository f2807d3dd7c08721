"""The command `nodewarden audit`: what is open on this node, judged by the kernel; and its subcommands."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.audit.baselines import write_baseline as write_baseline_file
from monitor.audit.cis import LATEST, VERSIONS, numbers
from monitor.audit.findings import Severity, Zone
from monitor.audit.formats.document import document
from monitor.audit.formats.junit import junit
from monitor.audit.formats.sarif import sarif
from monitor.audit.registry import BY_ID
from monitor.audit.report import Report
from monitor.audit.report_file import write_report
from monitor.cli import show
from monitor.cli.audit_report import say_report
from monitor.cli.audit_run import Request, Run, must_be_root, run_audit
from monitor.cli.imported import Imported
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings

_FROM = {
    "diff": ("audit_diff", "diff"),
    "explain": ("audit_explain", "explain"),
    "suggest": ("audit_suggest", "suggest"),
}
"""By subcommand, its module in this package and its name there: imported when used."""


class _Subcommands(click.Group):
    """The subcommands."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        there = {name: place for name, place in _FROM.items() if importlib.util.find_spec(f"monitor.cli.{place[0]}")}
        self.commands = Imported(there)


def _known_checks(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in BY_ID:
            raise click.BadParameter(f"there is no check {value!r}; there are: {', '.join(BY_ID)}", param=parameter)
    return values


@click.group("audit", cls=_Subcommands, invoke_without_command=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "junit", "sarif"]),
    default="table",
    show_default=True,
    help="table: for people; json; junit: XML for CI; sarif: SARIF 2.1.0 for code scanning.",
)
@click.option("--check", "checks", multiple=True, metavar="ID", callback=_known_checks, help="Only this check.")
@click.option(
    "--zone", "zones", multiple=True, type=click.Choice([str(zone) for zone in Zone]), help="Probe from there only."
)
@click.option("--baseline", type=click.Path(path_type=Path), help="Accepted ports and rules. Default: as configured.")
@click.option(
    "--write-baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Accept what is open now: write it to FILE.",
)
@click.option("--suppressions", type=click.Path(path_type=Path), help="Accepted findings. Default: as configured.")
@click.option("--exit-code", type=click.IntRange(0, 255), default=0, help="Exit with this if a check fails.")
@click.option(
    "--severity",
    type=click.Choice([str(one) for one in Severity]),
    default="medium",
    show_default=True,
    help="The least severity that --exit-code counts.",
)
@click.option(
    "--cis",
    "benchmark",
    type=click.Choice(VERSIONS),
    default=LATEST,
    show_default=True,
    help="Version of the CIS Kubernetes Benchmark whose numbers are shown.",
)
@click.option("--save", is_flag=True, help="Write the report file, for the daemon. nodewarden-audit.timer does.")
@click.option("-v", "--verbose", is_flag=True, help="Show everything: also what passes, and each open port.")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)
@show.json_option
@click.pass_context
def audit_group(
    context: click.Context,
    form: str,
    checks: tuple[str, ...],
    zones: tuple[str, ...],
    baseline: Path | None,
    write_baseline: Path | None,
    suppressions: Path | None,
    exit_code: int,
    severity: str,
    benchmark: str,
    save: bool,
    verbose: bool,
    path: Path,
    is_json: bool,
) -> None:
    """Audit what is open on this node: the kernel judges real packets in a copy of its firewall.

    Nothing of the node changes, and no packet leaves it. Needs root. Exit code 1 if a part could not be gathered; with
    --exit-code N, N if a check of at least --severity fails or is unknown and is not suppressed.
    """
    if context.invoked_subcommand is not None:
        return
    if (save or write_baseline) and (checks or zones):
        raise click.UsageError("what is kept is a whole audit: leave out --check and --zone")
    must_be_root()
    settings = load(path).settings if path.exists() or path != DEFAULT_PATH else Settings()
    request = Request(
        checks=tuple(BY_ID[check] for check in dict.fromkeys(checks)) or tuple(BY_ID.values()),
        zones=tuple(Zone(zone) for zone in zones) or tuple(Zone),
        baseline=baseline,
        suppressions=suppressions,
    )
    run = run_audit(settings, request, context.obj.configured(settings.control.socket))
    if save:
        write_report(settings.audit.report, run.report)
    if write_baseline:
        write_baseline_file(write_baseline, run.report.state)
        _say_baseline(write_baseline, run, settings)
    _print(run, request, "json" if is_json else form, benchmark, verbose)
    sys.exit(exit_code_of(run.report, exit_code, Severity(severity)))


def _say_baseline(path: Path, run: Run, settings: Settings) -> None:
    use = "" if settings.audit.baseline == str(path) else f"; `audit.baseline: {path}` lets all audits use it"
    show.say(f"{path} accepts what is open now: {len(run.report.state.open)} ports by zone{use}", err=True)


def exit_code_of(report: Report, code: int, severity: Severity) -> int:
    """Return the exit code of an audit: what could not be judged is no success."""
    if code and report.worst(severity):
        return code
    return 1 if report.lacks else 0


def _print(run: Run, request: Request, form: str, benchmark: str, verbose: bool) -> None:
    checks = {check.id: check for check in request.checks}
    cis = {check: numbers(check, benchmark) for check in checks}
    if form == "json":
        show.as_json(
            document(run.report, checks, cis)
            | {"unused_suppressions": run.unused, "kube_bench": msgspec.to_builtins(run.bench)}
        )
    elif form == "junit":
        show.document(junit(run.report, checks))
    elif form == "sarif":
        show.as_json(sarif(run.report, checks, cis))
    else:
        say_report(run, checks, cis, verbose=verbose)
