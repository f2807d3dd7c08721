"""Writes the recording of a busy day: ten million events of a node under default settings, made from a seed.

It is what a daemon that bans records: clients connect all day, tens of thousands of sources knock at one of a few ports
now and then, thousands guess a password slowly, and every minute somebody scans until the ban.
"""

import random
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import configured
from monitor.model.addresses import Address, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry
from monitor.model.events import AuthFailure, PacketLogged
from monitor.model.flows import FlowBatch, FlowClosed, FlowEstablished, FlowIncomplete, FlowOpened
from monitor.model.protocols import PROTOCOL_TCP, STATUS_SEEN_REPLY, TCP_ESTABLISHED, TCP_SYN, TCP_SYN_SENT
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.exchange import export
from monitor.recording.inputs import Events, Input, Started, Surrounded, Ticked
from monitor.recording.segments import Header
from monitor.settings.schema import Settings

START_S = 1_790_000_000.0
DAY_S = 86_400
_NODE = "192.0.2.1"
_PACKETS, _CONNECTIONS, _INCOMPLETE, _FAILURES = 30, 25, 8, 3
EVENTS_PER_S = _PACKETS + 3 * _CONNECTIONS + _INCOMPLETE + _FAILURES
"""Of each connection three messages count: its start, its handshake, its end."""


_PORTS = (22, 23, 80, 443, 445, 1433, 3306, 3389, 5060, 5900, 6379, 8080)
_SCAN_S = 60


class _Sources:
    """Who is there."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.clients = [bytes((198, 51, 100, last)) for last in range(250)]
        self.guessers = [b"\xcb" + chance.randbytes(3) for _ in range(8000)]
        self._knocking = [(b"\x2d" + chance.randbytes(3), chance.choice(_PORTS)) for _ in range(60_000)]

    def knocks(self, number: int) -> list[tuple[Address, int]]:
        """Return sources that knock within a second, each at the port that it is after."""
        return self._chance.choices(self._knocking, k=number)

    def some(self, of: list[Address], number: int) -> list[Address]:
        """Return some of a kind."""
        return self._chance.choices(of, k=number)


def seconds(count_s: int, seed: int = 17) -> Iterator[list[Input]]:
    """Yield the inputs of each second."""
    chance = random.Random(seed)
    sources = _Sources(chance)
    node, numbers = parse_address(_NODE), count(1)
    for second in range(count_s):
        time_s = START_S + second
        knocks = sources.knocks(_PACKETS)
        if second % _SCAN_S == 0:
            scanner = b"\x2e" + chance.randbytes(3)
            knocks[:20] = [(scanner, port) for port in range(8000, 8020)]
        packets = [
            PacketLogged(
                time_s, "drop: ", "eth0", "", source, node, PROTOCOL_TCP, chance.randrange(1024, 65_536), port, TCP_SYN
            )
            for source, port in knocks
        ]
        failures = [
            AuthFailure(time_s, "sshd", source, Strength.PROVEN, "journal", "root")
            for source in sources.some(sources.guessers, _FAILURES)
        ]
        yield [
            Events(time_s + 0.2, packets),
            Events(time_s + 0.4, failures),
            Events(time_s + 0.6, [_flows(time_s, sources, node, numbers)]),
            Ticked(time_s + 0.9),
        ]


def _flows(time_s: float, sources: _Sources, node: Address, numbers: Iterator[int]) -> FlowBatch:
    batch = FlowBatch(time_s + 0.6, attempts=_CONNECTIONS + _INCOMPLETE, completions=_CONNECTIONS)
    for source in sources.some(sources.clients, _CONNECTIONS):
        number = next(numbers)
        port = 1024 + number % 60_000
        addresses = (None, source, node, PROTOCOL_TCP, port, 443, node, source, 443, port, number)
        batch.opened.append(FlowOpened(time_s, *addresses, state=TCP_SYN_SENT))
        batch.completed.append(
            FlowEstablished(time_s + 0.1, *addresses, status=STATUS_SEEN_REPLY, state=TCP_ESTABLISHED)
        )
        batch.ending.append(FlowClosed(time_s + 0.5, *addresses))
    batch.incomplete += [
        FlowIncomplete(time_s, source, node, PROTOCOL_TCP, port) for source, port in sources.knocks(_INCOMPLETE)
    ]
    return batch


def write_day(path: Path, count_s: int = DAY_S) -> int:
    """Write the recording; return how many events it has."""
    settings = Settings()
    node = [AllowEntry(parse_network(_NODE), OWN_ADDRESS)]
    start: list[Input] = [
        Started(START_S, "bench", "0"),
        configured(settings, LogFilters(settings), START_S),
        Surrounded(START_S, node),
    ]
    inputs = (one for second in seconds(count_s) for one in second)
    with path.open("wb") as file:
        export(chain(start, inputs), file, Header("bench", "0", START_S))
    return count_s * EVENTS_PER_S
