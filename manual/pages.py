"""What the pages say: nodewarden(8) from the commands, nodewarden.yaml(5) from the reference, nodewarden-filter(5)."""

import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import click

from manual.roff import Page
from monitor import __version__
from monitor.cli.main import cli
from monitor.settings.reference import reference_markdown

_FILTER_FORMAT = Path(__file__).parents[1] / "docs/filter-format.md"
_ABOUT = """\
nodewarden monitors the network traffic of a machine through kernel events and logs, detects offenders and bans them in
its own nftables table, `inet nodewarden`. systemd starts the daemon as `nodewarden.service`. The other commands send
requests to its control socket, which root and members of the group `nodewarden` may use.

Evidence that anyone can forge only *shuns* a source: its new connections are refused. Proven evidence *bans* it: every
packet from it is dropped. A destination gets an *egress* ban: new connections to it are refused. Bans expire, and they
stay in force while the daemon is not running. `nodewarden allow list` shows what is never banned, and why.

A detector in mode `observe` sets no bans; `nodewarden list --observed` shows what it would have banned.
"""

_EXIT = {
    "0": "Done, also if a reader closed the pipe early.",
    "1": "Refused, failed or interrupted; `nodewarden status --check`: the daemon has problems.",
    "2": "The configuration or the command line is invalid, or an argument is not UTF-8.",
    "3": "The daemon does not run, does not answer in time, or this user may not ask it.",
    "4": "Another daemon owns the network namespace.",
}
_SIGNALS = {
    "SIGHUP": "Reload the configuration. An invalid one is refused; the one in force stays.",
    "SIGTERM, SIGINT": "Save the state and exit. Bans stay in force.",
}
_FILES = {
    "/etc/nodewarden/nodewarden.yaml": "The configuration, see nodewarden.yaml(5).",
    "/etc/nodewarden/conf.d/*.yaml": "Further files, read in the order of their names; later ones take precedence.",
    "/var/lib/nodewarden": "Bans and offences, kept across restarts.",
    "/run/nodewarden/control.sock": "The control socket.",
}
_EXAMPLES = """\
Find out why an address is banned, unban it and allow its network:

    nodewarden why 192.0.2.7
    nodewarden unban 192.0.2.7
    nodewarden allow add 192.0.2.0/24 --reason "our office"

Print all bans in force as JSON:

    nodewarden list --json

End all bans at once, with or without the daemon:

    nodewarden flush
"""


def nodewarden_8() -> str:
    """Return the page of the command."""
    page = Page("nodewarden", 8, __version__, "traffic monitor and dynamic banner")
    page.heading("synopsis")
    page.paragraph("`nodewarden` [*OPTIONS*] *COMMAND* [*ARGUMENTS*]")
    page.heading("description")
    page.markdown(_ABOUT)
    page.heading("options")
    _options(page, cli)
    page.tagged("`-h, --help`", "Show help; available for every command.")
    page.heading("commands")
    for words, command in commands(cli, ("nodewarden",)):
        _command(page, words, command)
    for title, entries in (("exit status", _EXIT), ("signals", _SIGNALS), ("files", _FILES)):
        page.heading(title)
        for word, meaning in entries.items():
            page.tagged(f"**{word}**", meaning)
    page.heading("environment")
    page.tagged("**NODEWARDEN_SOCKET**", "The control socket; same as `--socket`.")
    page.tagged("**NO_COLOR**", "If not empty, output has no colours.")
    page.heading("examples")
    page.markdown(_EXAMPLES)
    page.heading("see also")
    page.paragraph("`nodewarden.yaml`(5), `nodewarden-filter`(5), `nft`(8), `systemctl`(1), `journalctl`(1)")
    return str(page)


def nodewarden_yaml_5() -> str:
    """Return the page of the configuration."""
    page = Page("nodewarden.yaml", 5, __version__, "configuration of nodewarden")
    page.heading("synopsis")
    page.tagged("`/etc/nodewarden/nodewarden.yaml`", "")
    page.tagged("`/etc/nodewarden/conf.d/*.yaml`", "")
    page.heading("description")
    page.markdown(re.sub(r"^## (?=[a-z])", "## Settings\n\n## ", reference_markdown(), count=1, flags=re.MULTILINE))
    page.heading("see also")
    page.paragraph("`nodewarden`(8), `nodewarden-filter`(5)")
    return str(page)


def nodewarden_filter_5() -> str:
    """Return the page of the format of filters."""
    page = Page("nodewarden-filter", 5, __version__, "filters of nodewarden, which find failures in logs")
    page.heading("synopsis")
    page.tagged("`/etc/nodewarden/filters/*.yaml`", "")
    page.heading("description")
    page.markdown(_FILTER_FORMAT.read_text(encoding="utf-8"))
    page.heading("see also")
    page.paragraph("`nodewarden`(8), `nodewarden.yaml`(5)")
    return str(page)


PAGES = {
    "nodewarden.8": nodewarden_8,
    "nodewarden.yaml.5": nodewarden_yaml_5,
    "nodewarden-filter.5": nodewarden_filter_5,
}


def commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that is no group, with the words that call it."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def _command(page: Page, words: tuple[str, ...], command: click.Command) -> None:
    context = _context(command)
    arguments = [param.get_usage_pieces(context) for param in command.params if isinstance(param, click.Argument)]
    page.subheading(" ".join((*words[1:], *itertools.chain(*arguments))))
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        page.paragraph(paragraph.replace("*", r"\*"))
    _options(page, command)


def _options(page: Page, command: click.Command) -> None:
    for param in command.params:
        if isinstance(param, click.Option) and (record := param.get_help_record(_context(command))):
            spelling, meaning = record
            page.tagged(f"`{spelling}`", meaning.replace("<", r"\<"))


def _context(command: click.Command) -> click.Context:
    return click.Context(command, info_name=command.name)
