"""The command `nodewarden audit suggest`: what would repair each finding, as text; it applies nothing."""

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.audit.facts import Facts
from monitor.audit.findings import Finding, State, Zone
from monitor.audit.registry import BY_ID
from monitor.audit.suggest.default_drop import TABLE as DEFAULT_TABLE
from monitor.audit.suggest.gathering import read_destinations, read_neighbourhood
from monitor.audit.suggest.ports import TABLE as CLOSED_TABLE
from monitor.audit.suggest.suggestion import Form, Known, Suggestion
from monitor.audit.suggest.table import suggest as suggestions_for
from monitor.cli import show
from monitor.cli.audit_run import Request, must_be_root, run_audit
from monitor.cli.target import Target
from monitor.cli.values import WHEN
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings

_WIDE, _INDENT = 118, "  "
_SHOWN_SUBJECTS = 8
_OF_EGRESS = "egress-open"
_TITLES = {
    Form.NFT: "rules for `nft -c -f FILE`, then `nft -f FILE`",
    Form.SYSCTL: "lines of {target}, then `sysctl --system`",
    Form.SETTINGS: "in {target}",
    Form.COMMANDS: "commands",
    Form.ADVICE: "",
}


def _known_checks(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in BY_ID:
            raise click.BadParameter(f"there is no check {value!r}; there are: {', '.join(BY_ID)}", param=parameter)
    return values


@click.command("suggest")
@click.option("--check", "checks", multiple=True, metavar="ID", callback=_known_checks, help="Only for this check.")
@click.option(
    "--only",
    type=click.Choice([str(form) for form in Form]),
    help="Print only texts of this form, all else as comments: nft for `nft -f`, sysctl for /etc/sysctl.d.",
)
@click.option(
    "--since",
    "since_s",
    type=WHEN,
    default="7d",
    show_default=True,
    metavar="WHEN",
    help="For egress-open: propose the destinations that were used since: a duration before now, a date or a time.",
)
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)
@show.json_option
@click.pass_obj
def suggest(
    target: Target, checks: tuple[str, ...], only: str | None, since_s: float, path: Path, is_json: bool
) -> None:
    """Print what would repair each finding of an audit: rules, sysctls, flags, settings. Nothing is applied.

    Rules come in tables of their own that only drop, so that they open nothing. Read the warnings: rules and flags can
    cut off clients, and yourself. Needs root, as an audit does.
    """
    must_be_root()
    settings = load(path).settings if path.exists() or path != DEFAULT_PATH else Settings()
    chosen = tuple(BY_ID[check] for check in dict.fromkeys(checks)) or tuple(BY_ID.values())
    run = run_audit(
        settings,
        Request(checks=chosen, zones=tuple(Zone), baseline=None, suppressions=None),
        target.configured(settings.control.socket),
    )
    findings = run.report.findings
    known = _known(run.facts, findings, settings, since_s)
    made = [one for one in suggestions_for(findings, BY_ID, known) if only in (None, str(one.form))]
    unknown = len({(one.check, one.subject) for one in findings if one.state is State.UNKNOWN})
    if is_json:
        show.as_json([_as_json(one) for one in made])
    elif only:
        _say_file(made)
    else:
        _say(made, {one.check: str(one.severity) for one in reversed(findings) if one.state is State.FAIL})
        if not made and not unknown:
            show.say("nothing to suggest: no check fails", fg="green")
    if unknown:
        show.say(f"note: nothing is suggested for what could not be judged ({unknown}): nodewarden audit", err=True)


def _known(facts: Facts, findings: Iterable[Finding], settings: Settings, since_s: float) -> Known:
    text = lack = ""
    if any(one.check == _OF_EGRESS and one.state is State.FAIL for one in findings):
        text, lack = read_destinations(settings.state.directory / settings.recording.directory, since_s)
    return Known(facts=facts, networks=read_neighbourhood(), destinations=text, destinations_lack=lack)


def _as_json(one: Suggestion) -> Any:
    return msgspec.to_builtins(one)


def _say(made: list[Suggestion], severities: dict[str, str]) -> None:
    """Print suggestions for people."""
    for one in made:
        show.say(f"{one.check} ({severities.get(one.check, '')}): {_subjects(one)}", bold=True)
        if title := _TITLES[one.form].format(target=one.target or "its command line"):
            show.say(f"{_INDENT}{title}:")
        for line in one.text.splitlines():
            show.say(f"{_INDENT * (1 if one.form is Form.ADVICE else 2)}{line}")
        for line in textwrap.wrap(f"careful: {one.warning}", show.width(_WIDE, len(_INDENT))) if one.warning else ():
            show.say(f"{_INDENT}{line}", fg="yellow")
        show.say()
    if tables := [name for name in (CLOSED_TABLE, DEFAULT_TABLE) if any(f"table inet {name} " in x.text for x in made)]:
        ends = "; ".join(f"nft delete table inet {name}" for name in tables)
        show.say(f"To try rules for a minute, with a way back: (sleep 60; {ends}) & nft -f FILE")
        show.say("To keep them across boots: append the file to /etc/nftables.conf, or include it there.")


def _say_file(made: list[Suggestion]) -> None:
    """Print a file: texts, with everything else as comments."""
    for one in made:
        show.say(f"# {one.check}: {_subjects(one)}")
        for line in textwrap.wrap(one.warning, _WIDE):
            show.say(f"# careful: {line}")
        for line in one.text.splitlines():
            show.say(line)


def _subjects(one: Suggestion) -> str:
    shown = ", ".join(subject or "all" for subject in one.subjects[:_SHOWN_SUBJECTS])
    left = len(one.subjects) - _SHOWN_SUBJECTS
    return f"{shown} and {left} more" if left > 0 else shown
