"""`nodewarden fail2ban`: fail2ban's jails, filters and bans for nodewarden."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from monitor.cli import show
from monitor.cli.bans import answer
from monitor.cli.exchange import is_banned, summary
from monitor.cli.target import Target
from monitor.control.protocol import BanOrder, RequestedBan

_DIRECTORY = Path("/etc/fail2ban")
_DATABASE = Path("/var/lib/fail2ban/fail2ban.sqlite3")
_CHUNK = 2000
_PATH = click.Path(path_type=Path)


@click.group("fail2ban")
def fail2ban_group() -> None:
    """Migrate from fail2ban."""


@fail2ban_group.command("import")
@click.argument("directory", metavar="[DIR]", type=_PATH, default=_DIRECTORY)
@click.option(
    "--to",
    "target_directory",
    metavar="DIR",
    type=_PATH,
    help="Write conf.d/60-fail2ban.yaml and copies of the filters there (/etc/nodewarden) instead of printing.",
)
@click.option(
    "--bans",
    "database",
    metavar="[DB]",
    type=_PATH,
    is_flag=False,
    flag_value=_DATABASE,
    help=f"Ban what fail2ban's database has banned instead, for the time left; default: {_DATABASE}.",
)
@click.option("--dry-run", is_flag=True, help="With --bans: only list them.")
@show.json_option
@click.pass_context
def import_jails(
    ctx: click.Context,
    directory: Path,
    target_directory: Path | None,
    database: Path | None,
    dry_run: bool,
    is_json: bool,
) -> None:
    """Translate the enabled jails to YAML for conf.d; comments name what could not be translated.

    DIR is the directory of fail2ban's jail.conf, by default /etc/fail2ban. Without --to, the YAML is printed, and its
    detectors use the filters in DIR; with --to, nothing depends on fail2ban's files any more.
    """
    if database is not None and target_directory is not None:
        raise click.UsageError("--bans and --to exclude each other: give one after the other")
    if database is None and (dry_run or is_json):
        raise click.UsageError("--dry-run and --json belong to --bans; without --to, nothing is written anyway")
    if database is not None:
        _import_bans(ctx.obj, database, dry_run=dry_run, is_json=is_json)
        return
    from monitor.filters.fail2ban.jails import read_jails

    configuration = read_jails(directory.absolute(), is_strict=True)
    if target_directory is None:
        from monitor.filters.fail2ban.export import to_yaml
        from monitor.settings.detectors import DETECTOR_NAMES

        show.document(to_yaml(configuration, DETECTOR_NAMES.reserved))
        sys.stdout.flush()
    else:
        _write(configuration, target_directory.absolute())
    for fault in configuration.faults:
        show.say(f"nodewarden: {fault}", err=True)
    for jail in configuration.jails:
        if jail.fault and not jail.is_recidive:
            show.say(f"nodewarden: jail {jail.name} is left out: {jail.fault}", err=True)


def _write(configuration: Any, directory: Path) -> None:
    from monitor.cli.fail2ban_files import CONFIGURATION, FILTERS, write_import
    from monitor.filters.fail2ban.export import translate
    from monitor.settings.detectors import DETECTOR_NAMES

    made = translate(configuration, DETECTOR_NAMES.reserved, directory / FILTERS)
    write_import(directory, made.text, made.filters)
    show.say(f"Wrote {directory / CONFIGURATION}: its comments name what could not be translated.")
    show.say(f"Wrote {len(made.filters)} filters to {directory / FILTERS}; nothing depends on fail2ban's files.")
    show.say("Next: nodewarden config check, systemctl disable --now fail2ban, systemctl reload nodewarden,")
    show.say("nodewarden fail2ban import --bans")


def _import_bans(target: Target, database: Path, *, dry_run: bool, is_json: bool) -> None:
    from monitor.filters.fail2ban.bans import read_bans

    found = read_bans(database.absolute(), time.time())
    wanted = [RequestedBan(str(ban.network), ban.left_s, f"fail2ban jail {', '.join(ban.jails)}") for ban in found.bans]
    if found.unreadable:
        show.say(f"nodewarden: {found.unreadable} rows name no address or no time, and are left out", err=True)
    if found.is_cut:
        show.say(f"nodewarden: only the first {len(wanted)} bans are read", err=True)
    if dry_run:
        _list(wanted, is_json=is_json)
        return
    answers: list[dict[str, Any]] = []
    for start in range(0, len(wanted), _CHUNK):
        answers += target.ask(BanOrder(wanted[start : start + _CHUNK], "import"))
    refused = [one for one in answers if not is_banned(one)]
    if is_json:
        show.as_json(answers)
    else:
        show.say(f"{summary(answers)}, {found.ended} had ended")
        answer(refused, is_json)
    sys.exit(1 if refused else 0)


def _list(wanted: list[RequestedBan], *, is_json: bool) -> None:
    if is_json:
        show.as_json([{"network": one.network, "left_s": one.bantime_s, "reason": one.reason} for one in wanted])
        return
    for one in wanted:
        show.say(f"{one.network}  {show.duration(one.bantime_s)}  {one.reason}")
