"""Finds the server that takes writes, as the URL says, and opens two connections to it.

A fleet lives in one slot of a cluster, so of a cluster no more is used than that any of its servers names the right
one (MOVED). Sentinels are asked without a password first: most have none, and refuse one.
"""

import itertools
import ssl
from typing import NamedTuple

from redis.exceptions import AuthenticationError, MovedError, ResponseError

from monitor.fleet.redis.address import Endpoint, Finding, read_address
from monitor.fleet.redis.credentials import CredentialError, make_tls, read_password
from monitor.fleet.redis.link import REPLY_S, Link, open_link
from monitor.fleet.redis.resolver import Resolver
from monitor.fleet.settings import FleetSettings

_REDIRECTIONS = 5


class DialError(Exception):
    """No server can be found; the text is for people."""


class Links(NamedTuple):
    """The two connections of a session."""

    commands: Link
    bell: Link
    """It blocks until the bell rings, so it can do nothing else."""

    async def close(self) -> None:
        """Close both."""
        await self.commands.close()
        await self.bell.close()


class Dialer:
    """Opens connections, one attempt at a time."""

    def __init__(self, settings: FleetSettings, username: str = "", password: str = "") -> None:
        """`username` and `password` take the place of those in the settings, for an administrator.

        ValueError if the URL names no server.
        """
        self._settings = settings
        self._address = read_address(settings.url)
        self._username = username or settings.username or self._address.username
        self._given = password
        self._resolver = Resolver()
        self._attempts = itertools.count()
        self._connections = itertools.count()
        self.last: Endpoint = self._address.seeds[0]
        """Who was tried last, for texts."""

    @property
    def is_redirected(self) -> bool:
        """Whether another server may take writes when this one no longer does."""
        return self._address.finding is not Finding.DIRECT

    async def open(self, probe: bytes, bell_reply_s: float) -> Links:
        """Connect; `probe` is a key that this node may read. Raises RedisError, OSError, DialError, CredentialError."""
        tls, password = self._credentials()
        commands = await self._find(tls, password, probe)
        try:
            bell = await self._open(commands.endpoint, tls, password, bell_reply_s)
        except BaseException:
            await commands.close()
            raise
        return Links(commands, bell)

    async def open_one(self, probe: bytes) -> Link:
        """Open one connection, for a few commands; `probe` and errors as for `open`."""
        tls, password = self._credentials()
        return await self._find(tls, password, probe)

    def _credentials(self) -> tuple[ssl.SSLContext | None, str]:
        """Read the files, at each connection anew: they change."""
        name = self._settings.password_file
        password = self._given or (read_password(name) if name else "")
        if self._username and not password:
            raise CredentialError("fleet.username is set, but no password: set fleet.password_file")
        return make_tls(self._settings) if self._address.is_tls else None, password

    async def _find(self, tls: ssl.SSLContext | None, password: str, probe: bytes) -> Link:
        seeds = self._address.seeds
        endpoint = seeds[next(self._attempts) % len(seeds)]
        if self._address.finding is Finding.SENTINEL:
            endpoint = await self._ask_sentinel(endpoint, tls, password)
        return await self._settle(endpoint, tls, password, probe)

    async def _settle(self, endpoint: Endpoint, tls: ssl.SSLContext | None, password: str, probe: bytes) -> Link:
        """Return a connection to the server that holds the key."""
        for _ in range(_REDIRECTIONS):
            link = await self._open(endpoint, tls, password, REPLY_S)
            try:
                await link.one("EXISTS", probe)
            except MovedError as error:
                await link.close()
                if self._address.finding is not Finding.CLUSTER:
                    raise
                endpoint = Endpoint(str(error.host) or endpoint.host, int(error.port))
            except BaseException:
                await link.close()
                raise
            else:
                return link
        raise DialError("the servers of the cluster refer to each other in a circle")

    async def _ask_sentinel(self, sentinel: Endpoint, tls: ssl.SSLContext | None, password: str) -> Endpoint:
        try:
            found = await self._master(await self._open(sentinel, tls, "", REPLY_S))
        except AuthenticationError:
            found = await self._master(await self._open(sentinel, tls, password, REPLY_S))
        match found:
            case [bytes(host), bytes(port)] if port.isdigit():
                return Endpoint(host.decode("ascii", "replace"), int(port))
        raise DialError(f"the sentinel {sentinel} knows no service called {self._address.service}")

    async def _master(self, link: Link) -> object:
        try:
            return await link.one("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
        except ResponseError as error:
            raise DialError(f"{link.endpoint} is no sentinel: {str(error)[:100]}") from error
        finally:
            await link.close()

    async def _open(self, endpoint: Endpoint, tls: ssl.SSLContext | None, password: str, reply_s: float) -> Link:
        self.last = endpoint
        address = ""
        if not endpoint.path:
            addresses = await self._resolver.addresses(endpoint.host)
            address = addresses[next(self._connections) // 2 % len(addresses)]
        return await open_link(
            endpoint,
            address,
            tls=tls,
            username=self._username if password else "",
            password=password,
            database=0 if endpoint in self._address.seeds and self.is_redirected else self._address.database,
            reply_s=reply_s,
        )
