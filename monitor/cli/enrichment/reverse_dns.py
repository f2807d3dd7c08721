"""What addresses claim to be called: reverse DNS, asked for in parallel, within a time and a number.

The holder of an address chooses its reverse name, and can choose any. So it is a claim; it is confirmed if the holder
of the name says the same, that is if the name has this address.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from monitor.cli.enrichment import dns_message
from monitor.files.changes import read_bounded
from monitor.model.addresses import Address, format_address
from monitor.model.errors import MalformedRecord
from monitor.node.addresses import parse_resolvers

RESOLV_CONF = Path("/etc/resolv.conf")
TIME_S = 2.0
"""For all addresses of a command together."""
MOST = 1000
"""Addresses that a command asks for."""
_AT_ONCE = 64
_ATTEMPT_S = 0.6
_MAX_PACKET = 4096
_MOST_SERVERS = 3
"""As resolv.conf(5) has it."""
_MAX_FILE_BYTES = 65536

Server = tuple[str, int]


class Claim(NamedTuple):
    """The reverse name of an address."""

    name: str | None = None
    """Empty: it has none. None: nothing is known, since nobody answered in time, or with an error."""
    is_confirmed: bool | None = None
    """Whether the name has this address; None: not known."""


def servers_of(path: Path = RESOLV_CONF) -> list[Server]:
    """Return the DNS servers of the system; the local one where no file names any, as resolv.conf(5) says."""
    text = (read_bounded(path, _MAX_FILE_BYTES) or b"").decode(errors="replace")
    return [(format_address(one), 53) for one in parse_resolvers(text)[:_MOST_SERVERS]] or [("127.0.0.1", 53)]


class ReverseNames:
    """Asks for names until the time or the number is used up."""

    def __init__(self, servers: Sequence[Server], *, time_s: float = TIME_S, most: int = MOST) -> None:
        """Ask these servers in turn; the time starts with the first question."""
        self._servers = list(servers)
        self._left_s = time_s
        self._left = most
        self.not_asked = 0
        """Addresses that came too late."""
        self.unanswered = 0

    def claims(self, addresses: Iterable[Address]) -> dict[Address, Claim]:
        """Return what each address claims to be called; addresses that nobody was asked for are left out."""
        wanted = list(dict.fromkeys(addresses))
        asked = wanted[: self._left] if self._left_s > 0 else []
        self.not_asked += len(wanted) - len(asked)
        self._left -= len(asked)
        if not asked:
            return {}
        start_s = time.monotonic()
        found = asyncio.run(self._ask_all(asked))
        self._left_s -= time.monotonic() - start_s
        self.unanswered += sum(claim.name is None for claim in found.values())
        return found

    async def _ask_all(self, addresses: list[Address]) -> dict[Address, Claim]:
        found = dict.fromkeys(addresses, Claim())
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(address: Address) -> None:
            async with places:
                names = await self._ask(dns_message.reverse_name(address), dns_message.PTR)
                if names is None:
                    return
                if not names:
                    found[address] = Claim("")
                    return
                text = dns_message.as_text(names[0])
                found[address] = Claim(text)  # what is known if the time ends now
                kind = dns_message.A if len(address) == 4 else dns_message.AAAA
                own = await self._ask(names[0], kind)
                found[address] = Claim(text, None if own is None else address in own)

        tasks = [asyncio.create_task(one(address)) for address in addresses]
        _, late = await asyncio.wait(tasks, timeout=self._left_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return found

    async def _ask(self, name: bytes, kind: int) -> list[bytes] | None:
        """Return the records of a kind; empty if there are none, None if no server says."""
        for server in self._servers * 2:
            try:
                got = await _exchange(server, name, kind)
            except (OSError, TimeoutError):
                continue
            if got.code == dns_message.NO_ERROR:
                return got.found
            if got.code == dns_message.NO_SUCH_NAME:
                return []
        return None


async def _exchange(server: Server, name: bytes, kind: int) -> dns_message.Answer:
    """Ask one server once, from a port of its own; TimeoutError or OSError without an answer."""
    loop = asyncio.get_running_loop()
    number = secrets.randbelow(1 << 16)
    with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(server)
        sock.send(dns_message.query(number, name, kind))
        async with asyncio.timeout(_ATTEMPT_S):
            while True:
                packet = await loop.sock_recv(sock, _MAX_PACKET)
                try:
                    return dns_message.answer(packet, number, name, kind)
                except MalformedRecord:  # of somebody else, or of a broken server: the right one may follow
                    continue
