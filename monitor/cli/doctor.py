"""The command `nodewarden doctor`: what each source and enforcer needs, what is missing, what repairs it."""

import sys
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.nft_program import crash_warning, installed_version, versions
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, NotAllowed
from monitor.control.protocol import Doctor
from monitor.settings.places import DEFAULT_PATH

_COLOURS = {"ok": "green", "missing": "red", "could be better": "yellow", "off": None}


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
@show.json_option
@click.pass_obj
def doctor(target: Target, path: Path, is_json: bool) -> None:
    """Report what each source and enforcer needs, what is missing, and the command that repairs it.

    The daemon checks from inside its sandbox; if none answers, this command checks with the rights of its caller. A
    user that may not ask the daemon gets no answer: the rights of that user say nothing about the daemon.
    Exits with 1 if something is missing that the configuration enables.
    """
    try:
        finding = target.ask(Doctor())
    except NotAllowed:
        raise
    except DaemonUnreachable as error:
        if not is_json:
            show.say(str(error), err=True)
            show.say(err=True)
        finding = _check_here(path)
    finding["nft_installed"] = installed_version()
    if is_json:
        show.as_json(finding)
    else:
        _print(finding)
    sys.exit(0 if finding["is_sound"] else 1)


def _check_here(path: Path) -> dict[str, Any]:
    from monitor.daemon.selfcheck.doctor import check
    from monitor.daemon.sources.log_filters import LogFilters
    from monitor.settings.load import load

    settings = load(path).settings
    return check(settings, LogFilters(settings), is_daemon=False)


def _print(finding: dict[str, Any]) -> None:
    where = "by the running daemon" if finding["is_daemon"] else "by this command, not by the service"
    sandbox = "inside a sandbox" if finding["is_sandboxed"] else "without a sandbox"
    show.say(f"checked {where}, as {finding['account']}, {sandbox}, on Linux {finding['kernel']}")
    if not finding["is_daemon"]:
        show.say("the service may be allowed less: journalctl -u nodewarden -g self-check")
    show.say(versions(finding["nft_installed"], finding.get("nft_newest_writer", "")))
    if warning := crash_warning(finding["nft_installed"], finding.get("nft_crashing_set", "")):
        show.say(warning, fg="yellow")
    if "is_native" in finding:
        show.say(_native_code(finding))
    show.say()
    for part in finding["parts"]:
        show.start_line(f"{part['state']:<16}", _COLOURS[part["state"]])
        show.say(f"{part['kind']} {part['name']}")
        if part["state"] == "off":
            continue
        for requirement in part["requirements"]:
            if requirement["missing"]:
                show.say(f"{'':<16}  needs {requirement['what']}: {requirement['missing']}")
                show.say(f"{'':<16}  to repair it: {requirement['repair']}")


def _native_code(finding: dict[str, Any]) -> str:
    """Say whether the native extension runs; without it nothing is missing."""
    if finding["is_native"]:
        return "native code: in use"
    return f"native code: not in use, {finding['why_not_native']}; everything works, more slowly"
