"""A node of the fleet that was taken over: its attacker has the password, and a client of the server."""

import contextlib
import time
from typing import Any, Self

import redis

from monitor.fleet.redis.keys import FleetKeys
from monitor.fleet.settings import FleetSettings
from monitor.model.bans import Mode
from tests.support.fleet_peer import FleetPeer, ban_change
from tests.support.fleet_site import FLEET, FleetSite, Member


class TakenOver:
    """Acts with the password of a node whose daemon does not run; a context manager."""

    def __init__(self, site: FleetSite, member: Member) -> None:
        """Nothing is sent yet."""
        self._site = site
        self._member = member
        self._number = int(time.time() * 1000)
        self._stack = contextlib.ExitStack()
        settings = FleetSettings(
            url=site.server.url,
            name=FLEET,
            node=member.name,
            mode=Mode.ENFORCE,
            username=member.user,
            password_file=str(member.password_path),
        )
        self._peer = FleetPeer(settings, member.host)
        self._client: Any = None

    def __enter__(self) -> Self:
        """Connect."""
        self._stack.enter_context(self._peer)
        with self._member.host.entered():
            client = redis.Redis(
                host=self._site.server.address,
                port=self._site.server.port,
                username=self._member.user,
                password=self._member.password,
            )
            self._client = self._stack.enter_context(contextlib.closing(client))
            self._client.execute_command("HLEN", FleetKeys(FLEET).of(self._member.name.encode()).bans)
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect."""
        self._stack.close()

    def ban(self, *networks: str) -> None:
        """Claim that these attacked the node."""
        changes = []
        for network in networks:
            self._number += 1
            changes.append(ban_change(self._number, network, until_s=time.time() + 3600))
        self._peer.publish(changes)

    def forbidden(self) -> list[tuple[str, ...]]:
        """Return commands that an attacker would like to use."""
        keys = FleetKeys(FLEET)
        other = keys.of(self._site.members[0].name.encode())
        return [
            ("HSET", other.bans.decode(), "192.0.2.1 ban", "x"),
            ("DEL", other.stream.decode()),
            ("SET", other.hello.decode(), "x"),
            ("HSET", keys.allow.decode(), "0.0.0.0/0", "mine"),
            ("FLUSHALL",),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("KEYS", "*"),
        ]

    def is_refused(self, *command: str) -> bool:
        """Whether the server refuses a command for lack of permission."""
        try:
            self._client.execute_command(*command)
        except redis.exceptions.NoPermissionError:
            return True
        return False
