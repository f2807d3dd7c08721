"""`nodewarden fail2ban`: fail2ban's jails as a configuration of nodewarden."""

import sys
from pathlib import Path

import click

from monitor.cli import show

_DEFAULT = Path("/etc/fail2ban")


@click.group("fail2ban")
def fail2ban_group() -> None:
    """Migrate from fail2ban."""


@fail2ban_group.command("import")
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), default=_DEFAULT)
def import_jails(directory: Path) -> None:
    """Print the enabled jails as YAML for conf.d; comments name what could not be translated.

    DIR is the directory of fail2ban's jail.conf, by default /etc/fail2ban. Its filters are used in place.
    """
    from monitor.filters.fail2ban.export import to_yaml
    from monitor.filters.fail2ban.jails import read_jails
    from monitor.settings.detectors import DETECTOR_NAMES

    configuration = read_jails(directory.absolute(), is_strict=True)
    show.document(to_yaml(configuration, DETECTOR_NAMES.reserved))
    sys.stdout.flush()
    for fault in configuration.faults:
        show.say(f"nodewarden: {fault}", err=True)
    for jail in configuration.jails:
        if jail.fault:
            show.say(f"nodewarden: jail {jail.name} is left out: {jail.fault}", err=True)
