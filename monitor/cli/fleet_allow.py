"""The fleet's allowlist, which the administrator's user alone may write: the command connects to the server itself.

No daemon has that user's password: an intruder on one node cannot allow an address on all of them.
"""

import os
import sys
import urllib.parse
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from monitor.model.addresses import parse_network
from monitor.model.errors import ConfigError, TemporaryError
from monitor.settings.places import DEFAULT_PATH

if TYPE_CHECKING:  # the client takes long to import, and most commands do without
    from monitor.fleet.redis.administer import Administrator as Server
    from monitor.fleet.settings import FleetSettings

T = TypeVar("T")
PASSWORD_VARIABLE = "NODEWARDEN_FLEET_PASSWORD"  # noqa: S105 - its name
FLEET_REASON = "fleet: "
"""What nodes put before the reasons of entries that are the fleet's."""
_MAX_REASON = 128
_WIDEST = {32: 8, 128: 19}
"""Nodes refuse wider entries: a slip of the keyboard must not allow half of the Internet everywhere."""


class Administrator:
    """Changes the allowlist of a fleet at its server."""

    def __init__(self, settings: "FleetSettings", username: str, password: str) -> None:
        """Connect when there is something to do."""
        self._settings = settings
        self._username = username
        self._password = password

    def add(self, networks: Iterable[str], reason: str) -> list[dict[str, Any]]:
        """Add networks; return an answer for each. TemporaryError says why the server cannot be used."""
        answers = [_checked(text) for text in networks]
        wanted = {answer["network"]: reason[:_MAX_REASON] or "allowed" for answer in answers if answer["done"]}
        if wanted:
            _run(self._at_server().change(wanted))
        return answers

    def remove(self, networks: Iterable[str]) -> list[dict[str, Any]]:
        """Remove networks that are there; return an answer for each."""
        return _run(self._remove(list(networks)))

    async def _remove(self, networks: list[str]) -> list[dict[str, Any]]:
        server = self._at_server()
        held = await server.allowlist()
        wanted = {text: text if text in held else str(parse_network(text)) for text in networks}
        gone = [network for network in wanted.values() if network in held]
        if gone:
            await server.change({}, gone)
        texts = {True: "no longer on the fleet's allowlist", False: "was not on the fleet's allowlist"}
        return [
            {"network": network, "done": network in held, "text": texts[network in held]} for network in wanted.values()
        ]

    def _at_server(self) -> "Server":
        from monitor.fleet.redis.administer import Administrator as Server

        return Server(self._settings, self._username, self._password)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # takes long to import, and the commands that need no server do without

    return asyncio.run(work)


def fleet_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the fleet's administrator; the command gets `fleet`: an Administrator, or None."""

    @wraps(command)
    def run(
        *arguments: Any,
        fleet: bool,
        admin_url: str,
        admin_user: str,
        admin_password_file: str,
        admin_ca_file: str,
        fleet_name: str,
        **more: Any,
    ) -> None:
        given = admin_url or admin_user or admin_password_file or admin_ca_file or fleet_name
        if given and not fleet:
            raise click.UsageError("--admin-… and --fleet-name are for the fleet's allowlist: add --fleet")
        who = _administrator(admin_url, fleet_name, admin_user, admin_password_file, admin_ca_file) if fleet else None
        command(*arguments, fleet=who, **more)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run


_OPTIONS = (
    click.option("--fleet", is_flag=True, help="On the allowlist of all nodes of the fleet."),
    click.option("--admin-url", default="", help="With --fleet: the server's URL. [default: fleet.url]"),
    click.option(
        "--admin-ca-file",
        default="",
        help="With --fleet: certificates that the server's must be signed by. [default: fleet.ca_file]",
    ),
    click.option("--fleet-name", default="", help="With --fleet: name of the fleet. [default: fleet.name]"),
    click.option(
        "--admin-user", default="", help="With --fleet: the administrator's user. [default: as `fleet init` names it]"
    ),
    click.option(
        "--admin-password-file",
        default="",
        help=f"With --fleet: file whose first line is the password. [default: {PASSWORD_VARIABLE}, or ask]",
    ),
)


def _administrator(url: str, name: str, user: str, password_file: str, ca_file: str) -> Administrator:
    """Return who changes the list: by the options, else by the node's configuration."""
    from monitor.fleet.redis.acl import administrator_name
    from monitor.fleet.redis.credentials import CredentialError, read_password
    from monitor.fleet.settings import FLEET_NAME, URL, FleetSettings

    settings = FleetSettings()
    try:
        from monitor.settings.load import load

        settings = load(DEFAULT_PATH).settings.fleet
    except ConfigError:  # missing, invalid or unreadable for this user: the options must do
        pass
    try:
        settings = msgspec.structs.replace(
            settings, url=URL.read(url or settings.url), name=FLEET_NAME.read(name or settings.name)
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = msgspec.structs.replace(settings, ca_file=ca_file or settings.ca_file)
    if not settings.url:
        raise click.UsageError("no server is known: name it with --admin-url (fleet.url is not set, or unreadable)")
    try:
        password = read_password(password_file) if password_file else os.environ.get(PASSWORD_VARIABLE, "")
    except CredentialError as error:
        raise TemporaryError(str(error)) from None
    return Administrator(settings, user or administrator_name(settings.name), password or _asked(settings.url))


def _asked(url: str) -> str:
    """Ask for the password, or read it from a pipe; UsageError where there is none."""
    if not sys.stdin.isatty():
        if piped := sys.stdin.readline().strip():
            return piped
        raise click.UsageError(
            f"no password: give --admin-password-file, set {PASSWORD_VARIABLE}, or write it to stdin"
        )
    host = urllib.parse.urlsplit(url).netloc or url
    text: str = click.prompt(f"Password of the fleet's administrator at {host}", hide_input=True, err=True)
    return text


def _checked(text: str) -> dict[str, Any]:
    """Return the answer for a network to add: what nodes would refuse is refused here."""
    network = parse_network(text)
    if network.prefix_length < (widest := _WIDEST[network.bits]):
        return {"network": str(network), "done": False, "text": f"wider than /{widest}: nodes would refuse it"}
    return {"network": str(network), "done": True, "text": "on the fleet's allowlist; nodes follow within seconds"}
