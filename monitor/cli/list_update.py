"""The command that renews block lists: the child that the timer runs, also by hand."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.list_renewal import config_option, known_lists, node_view, not_taken
from monitor.cli.owned_state import alone, become_owner
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, NotRunning, RequestRefused
from monitor.control.protocol import ListsLoaded
from monitor.lists.file import list_path
from monitor.lists.renewal import Renewal, Step
from monitor.lists.settings import ListSettings
from monitor.lists.state import ListState, names_on_disk, read_state, state_path
from monitor.model.errors import explain
from monitor.settings.load import load
from monitor.settings.schema import Settings

_BUSY = "lists are being renewed already: try again when nodewarden-lists.service is done"
_PATIENCE_S = 10.0
"""A list that is due this soon is waited for: timers are not exact, and the next run is an hour away."""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--accept",
    is_flag=True,
    help="Ask at once, and take an update of unlikely size, such as half or twice the networks.",
)
@config_option
@show.json_option
@click.pass_obj
def update(target: Target, names: tuple[str, ...], accept: bool, path: Path, is_json: bool) -> None:
    """Renew lists that are due, all without NAME. nodewarden-lists.timer runs this every hour.

    A list that cannot be renewed keeps its last good copy until that expires. Exit code 1 if there is one.
    """
    settings = load(path).settings
    unknown = [name for name in names if name not in settings.lists]
    if unknown:
        raise click.UsageError(f"{unknown[0]!r} is no list of the configuration{known_lists(settings)}")
    if accept and not names:
        raise click.UsageError("--accept needs the NAME of each list that is to be taken as it is")
    directory = settings.state.directory / "lists"
    if not settings.lists and not directory.exists():
        if is_json:
            show.as_json([])
        return
    view, notice = node_view(settings)
    if notice:
        show.say(notice, err=True, fg="yellow")
    become_owner(settings.state.directory)
    with alone(directory, _BUSY):
        if not names:
            _forget_others(directory, settings)
        results = _renew_all(
            target.configured(settings.control.socket),
            settings,
            Renewal(settings.state.directory, view),
            names,
            accept,
            is_json,
        )
    if is_json:
        show.as_json(results)
    if any(result["step"] == Step.FAILED or result["error"] for result in results):
        sys.exit(1)


def _renew_all(
    target: Target, settings: Settings, renewal: Renewal, names: tuple[str, ...], accept: bool, is_json: bool
) -> list[dict[str, Any]]:
    results = []
    for name in names or settings.lists:
        one = settings.lists[name]
        if not names and one.url:
            due_s = read_state(state_path(settings.state.directory, name)).due_s(one.every_s)
            if 0 < (pause_s := due_s - time.time()) <= _PATIENCE_S:
                time.sleep(pause_s)
        error = ""
        try:
            step, state = renewal.renew(name, one, time.time(), accept=accept)
        except OSError as fault:
            step, state = Step.FAILED, ListState(name=name)
            error = f"its copy cannot be written: {explain(fault)}"
        if step in (Step.RENEWED, Step.UNCHANGED):
            error = _hand_over(target, name)
        result = {"name": name, "step": str(step), "fault": state.fault, "error": error,
                  "networks": state.account.taken, "not_taken": state.account.reasons}  # fmt: skip
        results.append(result)
        if not is_json:
            _say_result(result, state, one)
    return results


def _hand_over(target: Target, name: str) -> str:
    """Have the daemon take a copy; return why it does not. One that does not run takes it when it starts."""
    try:
        target.ask(ListsLoaded([name]))
    except NotRunning:
        return ""
    except (DaemonUnreachable, RequestRefused) as error:
        return f"the daemon did not take it: {error}"
    return ""


def _say_result(result: Mapping[str, Any], state: ListState, settings: ListSettings) -> None:
    name, step = result["name"], result["step"]
    if step == Step.NOT_DUE:
        show.say(f"{name}: not due before {show.moment(state.due_s(settings.every_s))}")
    elif step == Step.FAILED:
        show.say(f"{name}: {result['fault'] or result['error']}", err=True, fg="red")
        if state.fetched_s:
            show.say(f"  the copy of {show.moment(state.fetched_s)} stays", err=True)
    else:
        show.say(f"{name}: {step}, {result['networks']} networks{not_taken(result['not_taken'])}")
        if result["error"]:
            show.say(f"  {result['error']}", err=True, fg="red")


def _forget_others(directory: Path, settings: Settings) -> None:
    """Remove the files of lists that are no longer configured."""
    for name in names_on_disk(directory) - set(settings.lists):
        for path in (list_path(directory.parent, name), state_path(directory.parent, name)):
            path.unlink(missing_ok=True)
