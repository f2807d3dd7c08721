"""Commands for block lists: what is in force, what a list would bring, and the child that renews them."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.cli import show
from monitor.cli.list_renewal import ListsError, config_option, known_lists, node_view, not_taken
from monitor.cli.list_update import update
from monitor.cli.owned_state import become_owner
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import ListsStatus
from monitor.lists.faults import ListFault
from monitor.lists.file import MAX_ENTRIES, ListFileError, list_path, read_header
from monitor.lists.judgement import Extent, check_extent
from monitor.lists.reading import Account
from monitor.lists.renewal import Renewal, extent_of
from monitor.lists.settings import ListFormat, ListSettings, read_url
from monitor.lists.state import ListState, read_state, state_path
from monitor.lists.urls import source_of
from monitor.model.errors import explain
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings


@click.group("lists")
def lists_group() -> None:
    """Show, try and renew block lists: networks that others publish as hostile."""


@lists_group.command()
@config_option
@show.json_option
@click.pass_obj
def status(target: Target, path: Path, is_json: bool) -> None:
    """Show every list: its size, age, next renewal, licence, hits and what is wrong."""
    settings = load(path).settings
    _check_readable(settings.state.directory / "lists")
    in_force, unreachable = _ask_status(target.configured(settings.control.socket))
    rows = [
        _describe(name, one, settings.state.directory, in_force.get(name, {})) for name, one in settings.lists.items()
    ]
    if is_json:
        show.as_json(rows)
        return
    for row in rows:
        _say_list(row)
    if not rows:
        show.say("no block lists are configured: see section `lists` of the configuration")
    elif unreachable:
        show.say(f"what is in force is unknown: {unreachable}", err=True, fg="yellow")


def _check_readable(directory: Path) -> None:
    if directory.parent.exists() and not os.access(directory.parent, os.R_OK | os.X_OK):
        raise ListsError(f"not allowed to read {directory}: run this as root, or as a member of group nodewarden")


def _ask_status(target: Target) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Return what the daemon knows by list, and why it says nothing."""
    try:
        return {str(one["name"]): one for one in target.ask(ListsStatus())}, ""
    except (DaemonUnreachable, RequestRefused) as error:
        return {}, str(error)


def _describe(name: str, settings: ListSettings, directory: Path, in_force: Mapping[str, Any]) -> dict[str, Any]:
    state = read_state(state_path(directory, name))
    row: dict[str, Any] = {
        "name": name,
        "source": source_of(settings.url) if settings.url else settings.file,
        "set": str(settings.set),
        "mode": str(settings.mode),
        "networks": None,
        "fetched_s": None,
        "expires_s": None,
        "next_s": state.due_s(settings.every_s) or None,
        "licence": "",
        "not_taken": state.account.reasons,
        "fault": state.fault,
        "fault_since_s": state.fault_since_s or None,
        "hits": in_force.get("hits"),
        "in_force": in_force.get("entries"),
        "problem": in_force.get("problem", ""),
    }
    try:
        header = read_header(list_path(directory, name))
    except FileNotFoundError:
        row["fault"] = (
            row["fault"] or "it was never fetched: `nodewarden lists update`, or wait for nodewarden-lists.timer"
        )
    except (OSError, ListFileError) as error:
        row["fault"] = row["fault"] or f"its copy cannot be used: {explain(error)}"
    else:
        row |= {"networks": header.entries4 + header.entries6, "licence": header.licence}
        row |= {"fetched_s": header.fetched_s, "expires_s": header.expires_s}
    return row


def _say_list(row: Mapping[str, Any]) -> None:
    now_s = time.time()
    show.say(f"{row['name']}: {row['set']}, {row['mode']}, from {row['source']}", bold=True)
    if row["networks"] is not None:
        show.say(f"  {row['networks']} networks{not_taken(row['not_taken'])}")
        left_s = row["expires_s"] - now_s
        ends = f"expires in {show.duration(left_s)}" if left_s > 0 else "expired"
        show.say(f"  renewed {show.duration(max(0.0, now_s - row['fetched_s']))} ago, {ends}, next {_next(row, now_s)}")
    if row["in_force"] is not None:
        show.say(f"  {row['in_force']} networks in the kernel, {row['hits'] or 0} packets hit")
    if row["licence"]:
        show.say(f"  licence: {row['licence']}")
    if row["fault"]:
        since = f" since {show.moment(row['fault_since_s'])}" if row["fault_since_s"] else ""
        show.say(f"  not renewed{since}: {row['fault']}", fg="red")
    if row["problem"] and not (row["fault"] and row["fault"] in row["problem"]):
        show.say(f"  {row['problem']}", fg="red")


def _next(row: Mapping[str, Any], now_s: float) -> str:
    return f"in {show.duration(row['next_s'] - now_s)}" if (row["next_s"] or 0.0) > now_s else "with the next run"


@lists_group.command()
@click.argument("source", metavar="NAME|FILE|URL")
@click.option(
    "--format", "form", type=click.Choice([str(one) for one in ListFormat]), help="Default: as configured, or text."
)
@click.option("--column", type=click.IntRange(1, 64), help="The column of csv, from 1.")
@config_option
@show.json_option
def test(source: str, form: str | None, column: int | None, path: Path, is_json: bool) -> None:
    """Fetch a list, and say what would be taken and what not, by reason. Nothing is written.

    NAME is a list of the configuration; any file or URL can be tested, too. Exit code 1 if nothing would be taken.
    """
    settings = load(path).settings if path.exists() or path != DEFAULT_PATH else Settings()
    name, one = _source(source, settings)
    changes = {"format": form and ListFormat(form), "column": column}
    one = msgspec.structs.replace(one, **{key: value for key, value in changes.items() if value is not None})
    view, notice = node_view(settings)
    if notice:
        show.say(notice, err=True, fg="yellow")
    renewal = Renewal(settings.state.directory, view)
    if one.url:
        become_owner(settings.state.directory)
    try:
        reading = renewal.read(one).reading
    except ListFault as fault:
        raise ListsError(f"{source_of(one.url) if one.url else one.file}: nothing would be taken: {fault}") from fault
    if reading is None:
        raise AssertionError(source)
    doubt = ""
    state = read_state(state_path(settings.state.directory, name)) if name else ListState()
    before = Extent(state.account.taken, state.account.share4, state.account.share6) if state.fetched_s else None
    try:
        check_extent(before, extent_of(reading))
    except ListFault as fault:
        doubt = str(fault)
    if is_json:
        show.as_json({**msgspec.to_builtins(reading.account), "doubt": doubt})
    else:
        _say_account(reading.account, doubt)


def _source(source: str, settings: Settings) -> tuple[str, ListSettings]:
    """Return the name of a configured list, empty for others, and its settings."""
    if source in settings.lists:
        return source, settings.lists[source]
    if "://" in source:
        try:
            return "", ListSettings(url=read_url(source), max=MAX_ENTRIES)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    if "/" in source or Path(source).exists():
        return "", ListSettings(file=str(Path(source).absolute()), max=MAX_ENTRIES)
    raise click.UsageError(f"{source!r} is no list of the configuration, no file and no URL{known_lists(settings)}")


def _say_account(account: Account, doubt: str) -> None:
    show.say(
        f"{account.lines} lines name {account.entries} networks or ranges; {account.taken} networks would be taken"
    )
    show.say(
        f"they cover {_percent(account.share4)} of all IPv4 addresses, {_percent(account.share6)} of those of IPv6"
    )
    for reason, count in account.reasons.items():
        show.say(f"  {count} {reason}", fg="yellow")
        for example in account.examples.get(reason, ()):
            show.say(f"    {example}")
    show.say(f"licence: {account.licence or 'the list says nothing of it; see where it is published'}")
    if doubt:
        show.say(f"`lists update` would not take it: {doubt}", fg="red")


def _percent(share: float) -> str:
    """Write a share; a list of some hundred hosts covers something, too."""
    return f"{share:.3%}" if share >= _LEAST_SHOWN else "less than 0.001%" if share else "none"


_LEAST_SHOWN = 0.00001
lists_group.add_command(update)
