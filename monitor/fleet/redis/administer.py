"""What an administrator does at the server: read and change the fleet's allowlist, in a connection of its own."""

import uuid
from collections.abc import Iterable, Mapping

from redis.exceptions import RedisError

from monitor.fleet.engine import Kind
from monitor.fleet.redis.credentials import CredentialError
from monitor.fleet.redis.dial import Dialer, DialError
from monitor.fleet.redis.explain import explain, explain_reply
from monitor.fleet.redis.keys import BELL_ALLOW, LIST_ID, FleetKeys
from monitor.fleet.redis.lines import read_pairs
from monitor.fleet.redis.link import Command, Link
from monitor.fleet.redis.publisher import BELLS
from monitor.fleet.redis.transaction import Refused, scan, transact
from monitor.fleet.settings import FleetSettings
from monitor.model.errors import TemporaryError

MOST_ENTRIES = 4096
_PART = 256


class Administrator:
    """Does each thing in a connection of its own; TemporaryError says what to do if that fails."""

    def __init__(self, settings: FleetSettings, username: str, password: str) -> None:
        """Take where the server is from the settings; ValueError if the URL names none."""
        self._keys = FleetKeys(settings.name)
        self._dialer = Dialer(settings, username, password)

    async def allowlist(self) -> dict[str, str]:
        """Return reasons by network, as they were written."""
        link = await self._open()
        try:
            return {field: reason for field, reason in (await _entries(link, self._keys)).items() if field != "list"}
        except (Refused, RedisError, OSError) as error:
            raise self._failure(error) from error
        finally:
            await link.close()

    async def change(self, add: Mapping[str, str], remove: Iterable[str] = ()) -> None:
        """Add entries, with a reason each, and remove others, all at once."""
        link = await self._open()
        try:
            await transact(link, allow_commands(self._keys, add, remove), bell_command(self._keys))
        except (Refused, RedisError, OSError) as error:
            raise self._failure(error) from error
        finally:
            await link.close()

    async def _open(self) -> Link:
        try:
            return await self._dialer.open_one(self._keys.allow)
        except (CredentialError, DialError, RedisError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> TemporaryError:
        if isinstance(error, Refused):
            return TemporaryError(explain_reply(error.error, error.doing))
        return TemporaryError(explain(error, str(self._dialer.last)))


def allow_commands(keys: FleetKeys, add: Mapping[str, str], remove: Iterable[str]) -> list[Command]:
    """Return what changes the allowlist. Its id stays as long as the list lives, so nodes notice one made anew."""
    commands: list[Command] = [("HSETNX", keys.allow, LIST_ID, uuid.uuid4().hex)]
    commands += [("HSET", keys.allow, network, reason) for network, reason in add.items()]
    commands += [("HDEL", keys.allow, network) for network in remove]
    return commands


def bell_command(keys: FleetKeys) -> Command:
    """Return what lets all nodes read the allowlist now."""
    return ("XADD", keys.bell, "MAXLEN", "~", BELLS, "*", "n", BELL_ALLOW)


async def _entries(link: Link, keys: FleetKeys) -> dict[str, str]:
    entries: dict[str, str] = {}
    cursor = b"0"
    while True:
        cursor, values = await scan(link, keys.allow, cursor, _PART)
        for one in read_pairs(Kind.BAN, values):
            entries[one.field.decode("utf-8", "replace")] = one.record.decode("utf-8", "replace")
        if cursor == b"0" or len(entries) > MOST_ENTRIES:
            return entries
