"""An argument that cannot be read is an error of usage for every command, before anything is asked or done."""

from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner

from manual.pages import commands
from monitor.cli.main import cli
from monitor.cli.target import Target

MALFORMED = ["nonsense", "192.0.2.256", "192.0.2.1/33", "192.0.2.1/24", "10.0.0.0/8/8", "fe80::1%eth0", "::1/", "::g"]
GOOD = "192.0.2.1"
PLACES = [
    (words, parameter)
    for words, command in commands(cli, ())
    for parameter in command.params
    if "NETWORK" in (parameter.metavar or "")
]
"""Every argument and option of every command that is an address or a network."""


class _Untouched(Target):
    """A daemon that nobody may ask."""

    def ask(self, request: object) -> NoReturn:
        raise AssertionError(request)

    def read_history(self, request: object, config_path: Path) -> NoReturn:
        raise AssertionError(request)


def usage(words: tuple[str, ...], *arguments: str) -> str:
    """Run a command that must fail with exit code 2 and ask nobody; return what it says."""
    command: Any = cli
    for word in words:
        command = command.commands[word]
    done = CliRunner().invoke(
        command, ["--", *arguments] if arguments[0][0] != "-" else arguments, obj=_Untouched(None)
    )
    assert done.exit_code == 2, (words, arguments, done.output, done.exception)
    return " ".join(done.output.split())


def test_all_places_are_known() -> None:
    """Each command that takes networks is tried below."""
    assert {" ".join(words) for words, _ in PLACES} == {
        "label remove", "label set", "ban", "unban", "why", "list", "history", "report", "allow add", "allow remove",
        "allow test", "audit explain",
    }  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
@pytest.mark.parametrize(("words", "parameter"), PLACES, ids=[" ".join(words) for words, _ in PLACES])
def test_what_is_no_network_is_refused(words: tuple[str, ...], parameter: click.Parameter, text: str) -> None:
    """After good ones too: nothing is done by half."""
    if isinstance(parameter, click.Option):
        said = usage(words, parameter.opts[0], text, *(["443"] if words == ("audit", "explain") else []))
    else:
        said = usage(words, *([GOOD] if parameter.nargs == -1 else []), text)
    assert "not a network" in said or "not an IP address" in said or "host bits" in said


@pytest.mark.parametrize("text", ["192.0.2.9-nonsense", "192.0.2.1-::1", "192.0.2.1-", "-192.0.2.1", "1-2-3"])
def test_only_unban_takes_ranges_and_only_real_ones(text: str) -> None:
    """As `list` shows elements that other programs added."""
    usage(("unban",), GOOD, text)
    usage(("ban",), GOOD, "192.0.2.1-192.0.2.9")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "nowhere", GOOD],
        ["--port", "tcp/0", GOOD],
        ["--port", "22", "--egress", GOOD],
        ["--for", "0.5s", GOOD],
        ["--for", "3651d", GOOD],
        ["--shun", "--egress", GOOD],
    ],
)
def test_options_of_a_ban_that_cannot_be(arguments: list[str]) -> None:
    """Ports that do not exist, times that are too short or too long, kinds that exclude each other."""
    usage(("ban",), *arguments)
