"""Which destinations this node and what lies behind it used, by the recorded history; merged into a short list.

Only what answered counts, as far as the protocol shows it: a name that did not resolve to a working server needs no
approval, and neither does what a scan from within tried.
"""

import heapq
import time
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from monitor.model.addresses import Address, Network, host, network_of, parse_network
from monitor.model.flows import Flow, FlowBatch
from monitor.model.networks import Networks
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP, WELL_KNOWN_PORTS
from monitor.node.addresses import OWN_ADDRESS
from monitor.recording.inputs import FLOW_BATCH, Events, Input, Skipped, Surrounded

KINDS = frozenset({FLOW_BATCH})
"""The kinds of events that are needed."""
MOST_DESTINATIONS = 65_536
"""Destinations that are remembered."""
MOST_LINES = 64
"""Entries of the list, as far as merging can keep to it."""
_SHORTEST = {4: 16, 16: 32}
"""By address length: the shortest prefix that destinations are merged into."""
_NOWHERE = Networks(
    map(
        parse_network,
        ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"),
    )
)


class Use(msgspec.Struct):
    """How a destination, or a network of them, was used."""

    addresses: int = 1
    connections: int = 0
    last_s: float = 0.0

    def add(self, other: "Use") -> None:
        """Count another one."""
        self.addresses += other.addresses
        self.connections += other.connections
        self.last_s = max(self.last_s, other.last_s)


class Destinations:
    """What was connected to; inputs of a recording are given in order."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.uses: dict[Address, Use] = {}
        self.left_out = 0
        """Connections to destinations for which there was no room."""
        self.first_s = self.last_s = 0.0
        self._own: set[Address] = set()
        self._allowed = Networks()
        self._behind = Networks()

    def take_all(self, inputs: Iterable[Input | Skipped]) -> None:
        """Take a recording."""
        for one in inputs:
            if isinstance(one, Surrounded):
                self._surround(one)
            elif isinstance(one, Events) and one.events and isinstance(one.events[0], FlowBatch):
                self.first_s = self.first_s or one.time_s
                self.last_s = max(self.last_s, one.time_s)
                for batch in one.events:
                    self._take(batch)

    def _surround(self, around: Surrounded) -> None:
        self._own = {entry.network.address for entry in around.entries if entry.reason == OWN_ADDRESS}
        self._allowed = Networks([entry.network for entry in around.entries])
        if around.networks is not None:
            self._behind = Networks(around.networks.behind)

    def _take(self, batch: FlowBatch) -> None:
        for flow in batch.completed:
            self._note(flow)
        for flow in batch.late:
            self._note(flow)
        for flow in batch.opened:
            if flow.protocol != PROTOCOL_TCP and not _is_answer(flow):
                self._note(flow)

    def _note(self, flow: Flow) -> None:
        to = flow.real_destination
        if not (flow.source in self._own or flow.source in self._behind):
            return
        if to in self._own or to in self._behind or to in self._allowed or to in _NOWHERE:
            return
        if (use := self.uses.get(to)) is None:
            if len(self.uses) >= MOST_DESTINATIONS:
                self.left_out += 1
                return
            use = self.uses[to] = Use()
        use.connections += 1
        use.last_s = max(use.last_s, flow.time_s)


def _is_answer(flow: Flow) -> bool:
    """Whether a datagram answers one that connection tracking had forgotten."""
    is_service = flow.source_port in WELL_KNOWN_PORTS and flow.destination_port not in WELL_KNOWN_PORTS
    return flow.protocol == PROTOCOL_UDP and is_service


def merge(uses: Mapping[Address, Use], most: int = MOST_LINES) -> dict[Network, Use]:
    """Return few networks that contain all destinations, sorted.

    Halves of a network become that network. While there are more than `most`, the two neighbours with the longest
    common prefix are joined, but never beyond a /16 (IPv6: /32): what is then left is what the list has.
    """
    found = {host(address): msgspec.structs.replace(use) for address, use in uses.items()}
    for size in (4, 16):
        some = {network: use for network, use in found.items() if len(network.address) == size}
        others = len(found) - len(some)
        for network in some:
            del found[network]
        found |= _joined(some, max(1, most - others) if size == 16 else most)
    return dict(sorted(found.items(), key=lambda item: (len(item[0].address), item[0])))


def _joined(uses: Mapping[Network, Use], most: int) -> dict[Network, Use]:
    """Join neighbours of one family in the order of their common prefix, the longest first."""
    networks = sorted(uses)
    values = [uses[network] for network in networks]
    after = [*range(1, len(networks)), -1]
    before = [*range(-1, len(networks) - 1)]
    is_alive = [True] * len(networks)
    left = len(networks)
    heap = [(-_common(networks[place], networks[place + 1]), place, place + 1) for place in range(len(networks) - 1)]
    heapq.heapify(heap)
    while heap:
        length, one, two = heapq.heappop(heap)
        if (
            not (is_alive[one] and is_alive[two])
            or after[one] != two
            or -length != _common(networks[one], networks[two])
        ):
            continue
        joined = network_of(networks[one].address, -length)
        are_halves = networks[one].prefix_length == networks[two].prefix_length == joined.prefix_length + 1
        is_inside = joined in (networks[one], networks[two])
        if not (are_halves or is_inside) and (left <= most or joined.prefix_length < _SHORTEST[len(joined.address)]):
            continue
        networks[one] = joined
        values[one].add(values[two])
        is_alive[two] = False
        left -= 1
        after[one] = after[two]
        if after[two] >= 0:
            before[after[two]] = one
            heapq.heappush(heap, (-_common(joined, networks[after[one]]), one, after[one]))
        if before[one] >= 0:
            heapq.heappush(heap, (-_common(networks[before[one]], joined), before[one], one))
    return {networks[place]: values[place] for place in range(len(networks)) if is_alive[place]}


def _common(one: Network, two: Network) -> int:
    """Return the length of the longest network that contains two."""
    different = int.from_bytes(one.address) ^ int.from_bytes(two.address)
    return min(one.bits - different.bit_length(), one.prefix_length, two.prefix_length)


def as_yaml(found: Destinations, most: int = MOST_LINES) -> str:
    """Write a file for conf.d; empty if nothing was used."""
    return "\n".join(_lines(found, merge(found.uses, most))) if found.uses else ""


def _lines(found: Destinations, merged: Mapping[Network, Use]) -> Iterator[str]:
    yield f"# what this node and its pods connected to from {_day(found.first_s)} to {_day(found.last_s)}, merged"
    if found.left_out:
        yield f"# {found.left_out} connections to further destinations are not in it"
    yield from ("detectors:", "  egress:", "    approved:")
    for network, use in merged.items():
        some = "an address" if use.addresses == 1 else f"{use.addresses} addresses"
        yield f'      - "{network}"  # {some}, {use.connections} connections, last on {_day(use.last_s)}'


def _day(time_s: float) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.localtime(time_s))
    except (ValueError, OverflowError):
        return "an unknown day"
