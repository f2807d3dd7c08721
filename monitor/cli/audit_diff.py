"""The command `audit diff`: ports and rules that changed since a baseline, or since the last saved audit."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.audit.baseline import Baseline, RuleLine
from monitor.audit.difference import Difference, PortChange, TableChange, difference
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.cli import show
from monitor.cli.audit_gathering import gather
from monitor.cli.audit_run import must_be_root
from monitor.cli.target import Target
from monitor.control.client import DaemonUnreachable, RequestRefused
from monitor.control.protocol import Status
from monitor.model.errors import ConfigError
from monitor.settings.load import load
from monitor.settings.places import DEFAULT_PATH
from monitor.settings.schema import Settings

_MAX_CHANGES = 256


class SeenChange(msgspec.Struct, frozen=True):
    """A change of a table that the daemon noticed: the kernel names the process."""

    table: str
    process: str
    pid: int
    count: int
    first_s: float
    last_s: float

    def __str__(self) -> str:
        times = f", {self.count} times since {_moment(self.first_s)}" if self.count > 1 else ""
        return f"{self.process} (pid {self.pid}) at {_moment(self.last_s)}{times}"


@click.command("diff")
@click.option("--baseline", type=click.Path(path_type=Path), help="The earlier state. Default: as configured.")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="The main file."
)
@show.json_option
@click.pass_obj
def diff(target: Target, baseline: Path | None, path: Path, is_json: bool) -> None:
    """Show which ports were opened or closed and which rules changed since the baseline.

    Without a baseline, since the last audit that was saved. Rules of kube-proxy, network plugins, docker and others
    that write new ones all the time are left out. Which process changed a table is known for changes while the daemon
    ran. Needs root. Exit code 1 if something changed, or could not be compared.
    """
    must_be_root()
    settings = load(path).settings if path.exists() or path != DEFAULT_PATH else Settings()
    asked = target.configured(settings.control.socket)
    gathered = gather(settings, baseline, tuple(Zone), asked, time.time())
    before = _earlier(gathered.facts)
    found = difference(before, gathered.state)
    seen = [one for one in _seen(asked) if one.last_s >= before.time_s]
    if is_json:
        show.as_json(_document(before, found, seen))
    else:
        _say(before, found, seen)
    sys.exit(1 if found or found.unknown else 0)


def _earlier(facts: Facts) -> Baseline:
    """Return what to compare with; ConfigError if there is nothing."""
    if reason := facts.lacks.get(Part.BASELINE):
        raise ConfigError(reason)
    if not facts.baseline.is_empty:
        return facts.baseline
    if facts.previous.is_empty:
        raise ConfigError(
            "there is nothing to compare with: write a baseline (`nodewarden audit --write-baseline FILE`),"
            " or save an audit (`nodewarden audit --save`)"
        )
    return facts.previous


def _seen(target: Target) -> list[SeenChange]:
    """Return what the daemon noticed; nothing if it does not run."""
    try:
        answer: Any = target.ask(Status())
        given = answer.get("rule_changes", []) if isinstance(answer, dict) else []
        return msgspec.convert(given[:_MAX_CHANGES], list[SeenChange])
    except (DaemonUnreachable, RequestRefused, msgspec.ValidationError, TypeError):
        return []


def _document(before: Baseline, found: Difference, seen: list[SeenChange]) -> dict[str, Any]:
    return {
        "since_s": before.time_s,
        "node": before.node,
        "opened": msgspec.to_builtins(found.opened),
        "closed": msgspec.to_builtins(found.closed),
        "tables": [
            {
                "table": one.table,
                "note": one.note,
                "added": [_line(line) for line in one.added],
                "removed": [_line(line) for line in one.removed],
                "changed_by": msgspec.to_builtins(_of(one.table, seen)),
            }
            for one in found.tables
        ],
        "unknown": list(found.unknown),
    }


def _line(line: RuleLine) -> dict[str, str]:
    return {"chain": line.chain, "rule": line.text, "author": line.author}


def _say(before: Baseline, found: Difference, seen: list[SeenChange]) -> None:
    show.say(f"compared with {before.node or 'this node'} at {_moment(before.time_s)}")
    for reason in found.unknown:
        show.say(f"not compared: {reason}", fg="yellow")
    _say_ports("opened", found.opened, "red")
    _say_ports("closed", found.closed, "green")
    for change in found.tables:
        _say_table(change, _of(change.table, seen))
    if not found and not found.unknown:
        show.say("nothing changed")


def _say_ports(verb: str, ports: Iterable[PortChange], colour: str) -> None:
    for one in ports:
        zone, _, port = one.port.partition(" ")
        show.say(f"{verb} for {zone}: {port}" + (f" ({one.text})" if one.text else ""), fg=colour)


def _say_table(change: TableChange, by: list[SeenChange]) -> None:
    show.say(f"table {change.table}: {change.summary()}", bold=True)
    for sign, lines, colour in (("+", change.added, "green"), ("-", change.removed, "red")):
        for line in lines:
            author = f"  [{line.author}]" if line.author not in ("", "operator") else ""
            show.say(f"  {sign} {line}{author}", fg=colour)
    for one in by:
        show.say(f"  changed by {one}")


def _of(table: str, seen: Iterable[SeenChange]) -> list[SeenChange]:
    return [one for one in seen if one.table == table]


def _moment(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(max(time_s, 0), 2**40)))
