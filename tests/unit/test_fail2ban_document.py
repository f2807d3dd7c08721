"""docs/fail2ban.md: every option of a jail has a line, and every command of ours exists."""

import re
import shlex
from pathlib import Path

import click
import pytest

from monitor.cli.main import cli
from tests.unit.filters.fail2ban.test_jail_options import JAIL_CONF_5

_TEXT = (Path(__file__).parents[2] / "docs/fail2ban.md").read_text()
_SYSTEMD = ("systemctl", "journalctl")
_COMMANDS = sorted(
    set(re.findall(r"`(nodewarden [a-z][^`]*)`", _TEXT))
    | {re.split(r"  +", line.strip())[0] for line in re.findall(r"^    (nodewarden .*)$", _TEXT, re.MULTILINE)}
)


def test_every_option_has_a_line() -> None:
    """An administrator finds each option of jail.conf(5) in the left column, or in the text about mail."""
    missing = {option for option in JAIL_CONF_5 if f"`{option}" not in _TEXT}
    assert missing <= {"destemail", "sender", "mta", "protocol", "port"}
    for name in ("increment", "factor", "formula", "multipliers", "maxtime", "rndtime", "overalljails"):
        assert f"`bantime.{name}`" in _TEXT


@pytest.mark.parametrize("text", _COMMANDS)
def test_every_command_exists(text: str) -> None:
    """It is parsed by the command that it names, as far as it is written out."""
    words = shlex.split(text.replace("...", "x"))[1:]
    context = click.Context(cli, info_name="nodewarden")
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, text
        command = found
    if words:
        command.make_context("x", words, resilient_parsing=False).close()
