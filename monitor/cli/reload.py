"""The command that puts the configuration on disk into force."""

from typing import Any

import click

from monitor.cli import show
from monitor.cli.target import Target
from monitor.control.protocol import Reload


@click.command()
@show.json_option
@click.pass_obj
def reload(target: Target, is_json: bool) -> None:
    """Reload the configuration of the daemon.

    It is checked as by `config check`. An invalid one is refused with exit code 2, and the one in force stays.
    Detectors keep what they counted where it means the same under the new configuration; the others are listed.
    """
    result = target.ask(Reload())
    if is_json:
        show.as_json(result)
        return
    show.say("reloaded")
    describe(result)


def describe(result: dict[str, Any]) -> None:
    """Say what detectors kept, and what waits for a restart."""
    from monitor.settings.changes import AFTER_RESTART

    detectors = result["detectors"]
    changed = [one for one in detectors if one["extent"] != "all"]
    for one in changed:
        network = f" for {one['network']}" if one["network"] else ""
        show.say(f"{one['detector']}{network}: {one['text']}")
    if unchanged := len(detectors) - len(changed):
        others = "other " if changed else ""
        show.say(f"{unchanged} {others}detectors keep all that they counted")
    for change in result["waiting"]:
        show.say(f"{change} changed: {AFTER_RESTART}")
